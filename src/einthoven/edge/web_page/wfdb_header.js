// The WFDB header (.hea), read leniently where published corpora are sloppy: header(5) of the WFDB Applications Guide.

import { ReadError } from "./errors.js";

const MOST_SIGNALS = 256;
const DEFAULT_GAIN = 200; // header(5): a gain of zero or none means uncalibrated, 200 units per millivolt
const FORMAT = /^(\d{1,4})(?:x(\d{1,6}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?$/;
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;
const INTEGER = /^[-+]?\d+$/;

/** Parse a header; signals carry file, format, offset, gain, baseline, unit, initial value, checksum and name. */
export function parseHeader(bytes, name) {
  const [lines, comments] = linesOf(bytes);
  const fail = (why) => {
    throw new ReadError(`${name}: ${why}.`);
  };
  if (!lines.length) fail("the header is empty");
  const first = lines[0].split(/\s+/);
  if (first.length < 2)
    fail(`the first line '${lines[0].slice(0, 60)}' must give the record name and the number of signals`);
  const [record, nSegments] = first[0].split("/");
  if (nSegments) fail("a record of several segments; this page reads records of one segment");
  const nSignals = integer(first[1], "number of signals", 0, MOST_SIGNALS, fail);
  const fs = first.length > 2 ? rate(first[2], fail) : null;
  // Some headers leave the count out and go on with the time of day.
  const counted = first.length > 3 && !first[3].includes(":");
  const nSamples = counted ? integer(first[3], "number of samples", 0, 2 ** 40, fail) : 0;
  const described = lines.length - 1;
  if (described !== nSignals) fail(`the header announces ${nSignals} signals but describes ${described}`);
  if (!nSignals) fail("the record has no signals");
  const signals = lines.slice(1).map((line) => signalOf(line, fail));
  return { record, fs, nSamples: nSamples || null, signals, comments };
}

function linesOf(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    text = new TextDecoder("windows-1252").decode(bytes);
  }
  const all = text.split("\n").map((line) => line.trim());
  const comments = all.filter((line) => line.startsWith("#")).map((line) => line.slice(1).trim());
  return [all.filter((line) => line && !line.startsWith("#")), comments];
}

function signalOf(line, fail) {
  const parts = line.split(/\s+/);
  if (parts.length < 2) fail(`the signal line '${line.slice(0, 60)}' must give a file name and a format`);
  const signal = { file: parts[0], ...formatOf(parts[1], fail) };
  const rest = parts.slice(2);
  // Optional fields come in order, and the description is what remains.
  const gain = rest.length && /^[\d+.-]/.test(rest[0]) ? gainOf(rest.shift(), fail) : gainOf("", fail);
  const numbers = [];
  while (rest.length && numbers.length < 5 && /^[-+]?\d{1,18}$/.test(rest[0])) numbers.push(Number(rest.shift()));
  const [, zero = 0, initial = null, checksum = null] = numbers;
  const baseline = gain.baseline ?? zero;
  if (!(baseline >= -(2 ** 31) && baseline < 2 ** 31)) fail(`the baseline ${baseline} is implausible`);
  return { ...signal, ...gain, baseline, initial, checksum, name: rest.join(" ") };
}

// "16x2:3+24": format, samples per frame, skew, byte offset.
function formatOf(token, fail) {
  const found = FORMAT.exec(token);
  if (!found) fail(`the signal format '${token.slice(0, 40)}' is not of the form 16, 16x2, 16:3 or 16+24`);
  const [, format, perFrame, skew, offset] = found.map((part) => Number(part ?? 0));
  return { format, perFrame: perFrame || 1, skew, offset };
}

// "1000.0(0)/mV": gain, baseline or null, unit.
function gainOf(token, fail) {
  const [numbers, unit = ""] = token.split(/\/(.*)/s);
  const [number, zero = null] = numbers.split("(");
  const baseline = zero === null ? null : zero.replace(/\)+$/, "");
  if ((number && !NUMBER.test(number)) || (baseline !== null && !INTEGER.test(baseline))) {
    fail(`the gain '${token.slice(0, 40)}' is not of the form 1000, 1000/mV or 1000(0)/mV`);
  }
  const gain = Number(number || 0) || DEFAULT_GAIN;
  if (!(Math.abs(gain) >= 1e-6 && Math.abs(gain) <= 1e12)) fail(`the gain '${token.slice(0, 40)}' is implausible`);
  return { gain, baseline: baseline === null ? null : Number(baseline), unit: unit || "mV" };
}

// "360/1.0(0)" is 360 Hz: the counter frequency behind the slash is of no use here.
function rate(token, fail) {
  const text = token.split("/")[0].split("(")[0];
  const fs = NUMBER.test(text) ? Number(text) : fail(`the sampling rate '${token.slice(0, 40)}' is not a number`);
  if (!(fs > 0 && fs <= 1e7)) fail(`the sampling rate '${token.slice(0, 40)}' is implausible`);
  return fs;
}

function integer(token, what, low, high, fail) {
  if (!INTEGER.test(token)) fail(`the ${what} '${token.slice(0, 40)}' is not a whole number`);
  const value = Number(token);
  if (value < low || value > high) fail(`the ${what} ${value} lies outside ${low} to ${high}`);
  return value;
}
