// What the columns of a text table are: leads, time, or a count of samples; the rate follows from the time column.

import { ReadError } from "./errors.js";
import { general, median, rint } from "./numbers.js";

const TIME = new Set([
  "time",
  "t",
  "timestamp",
  "elapsed time",
  "elapsed",
  "seconds",
  "sec",
  "s",
  "milliseconds",
  "ms",
  "zeit",
]);
const INDEX = new Set(["", "index", "sample", "samples", "sample number", "sample #", "unnamed: 0", "#", "n"]);
const TIME_UNITS = {
  s: 1,
  sec: 1,
  second: 1,
  seconds: 1,
  ms: 1e-3,
  msec: 1e-3,
  milliseconds: 1e-3,
  us: 1e-6,
  µs: 1e-6,
  μs: 1e-6,
};
const BRACKETED = /^(.*?)\s*[[(]([^\])]*)[\])]?$/;
const SUFFIXED = /^(.+?)[_ /](mV|uV|µV|μV|nV|ms|us|s|sec)$/i;

/** Role ("lead", "time" or "index"), name and unit of each column; `columns` are the numbers. */
export function describeColumns(header, columns) {
  if (header) return header.map((cell, k) => named(cell, k === 0));
  const found = columns.map(() => ({ role: "lead", name: "", unit: "" }));
  if (columns.length === 13) found[0].role = leadingRole(columns[0]);
  return found;
}

function named(cell, first) {
  const found = BRACKETED.exec(cell) ?? SUFFIXED.exec(cell);
  const [name, unit] = found ? [found[1].trim(), found[2].trim()] : [cell.trim(), ""];
  const key = name.toLowerCase().replaceAll("_", " ");
  if (first && TIME.has(key)) return { role: "time", name, unit: unit || (key in TIME_UNITS ? key : "") };
  if (first && INDEX.has(key)) return { role: "index", name, unit: "" };
  return { role: "lead", name, unit };
}

const stepsOf = (values) => values.subarray(1).map((value, k) => value - values[k]);

// Twelve leads without names and one column before them: time if it grows evenly, a count if by ones.
function leadingRole(values) {
  const steps = stepsOf(values);
  if (!steps.length || !steps.every((step) => step > 0)) return "lead";
  return steps.every((step) => step === 1) ? "index" : "time";
}

/** The sampling rate in Hz from a time column. */
export function rateFromTime(time, column, firstRow, name) {
  if (time.length < 2) {
    throw new ReadError(
      `${name}: one row is too few to compute the sampling rate from the time column; leave the column out and state the rate.`,
      "fs",
    );
  }
  const missing = time.findIndex(Number.isNaN);
  if (missing >= 0) throw new ReadError(`${name}: row ${firstRow + missing}: the time is missing.`);
  const steps = stepsOf(time);
  const back = steps.findIndex((step) => step <= 0);
  if (back >= 0) {
    const pair = `${general(time[back])}, then ${general(time[back + 1])}`;
    throw new ReadError(`${name}: row ${firstRow + back + 1}: the time does not increase (${pair}).`);
  }
  const span = time[time.length - 1] - time[0];
  const step = span / steps.length;
  const rounding = resolution(time);
  checkEven(steps, step, rounding, firstRow, name);
  const fs = 1 / (step * secondsPer(column, step, name));
  // Written times are rounded: a whole rate within what rounding allows is the true one.
  const whole = rint(fs);
  return whole && Math.abs(fs - whole) <= fs * ((2 * rounding) / span + 1e-5) ? whole : fs;
}

function checkEven(steps, step, rounding, firstRow, name) {
  const usual = median(steps);
  const uneven = steps.findIndex((one) => Math.abs(one - usual) > 1.001 * rounding + 0.02 * step);
  if (uneven < 0) return;
  throw new ReadError(
    `${name}: row ${firstRow + uneven + 1}: the time is irregular (a step of ${general(steps[uneven])} where ` +
      `${general(usual)} is usual); resample the table evenly.`,
  );
}

function secondsPer(column, step, name) {
  if (!column.unit) return step < 0.1 ? 1 : 1e-3;
  const found = TIME_UNITS[column.unit.toLowerCase()];
  if (found) return found;
  throw new ReadError(`${name}: the time unit '${column.unit}' is unknown: use s, ms or us, or leave the column out and state the rate.`, "fs");
}

// The decimal place to which times were written.
function resolution(time) {
  const largest = time.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let digits = 0; digits < 10; digits++) {
    const scale = 10 ** digits;
    const allowed = 1e-9 * Math.max(1, largest * scale);
    if (time.every((value) => Math.abs(value * scale - rint(value * scale)) <= allowed)) return 1 / scale;
  }
  return 1e-9;
}
