// What the user states about a file, weighed against what the file says.

import { ReadError } from "./errors.js";
import { general } from "./numbers.js";

const ROUNDED = 0.01; // by which a stated rate may differ from the file's: 257 Hz for 256.4

/**
 * The file's own rate, which a stated one must agree with, else the stated one, else null.
 * @param {number|null} found what the file says.
 * @param {{fs?: number}} stated what the user states.
 * @param {string} name of the file, for messages.
 * @param {string} where in the file it is said, for messages.
 */
export function agreedRate(found, stated, name, where) {
  if (!stated.fs) return found;
  if (found !== null && Math.abs(stated.fs - found) > ROUNDED * found) {
    throw new ReadError(
      `${name}: ${where} says ${general(found)} Hz, but ${general(stated.fs)} Hz was stated; leave “Rate” empty, or ` +
        `correct ${where}.`,
      "fs",
    );
  }
  return found ?? stated.fs;
}
