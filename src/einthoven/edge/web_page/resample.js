// Any sampling rate to any other, anti-aliased: the Kaiser-windowed sinc of einthoven.signals.resample, tap for tap.

import { ConformError } from "./errors.js";

const ZERO_CROSSINGS = 24;
const KAISER_BETA = 8;
const MOST_DENOMINATOR = 16384n;

// A rate such as 128.5 is exact as decimal text, not as a binary number.
function fraction(x) {
  const [digits, power = "0"] = String(x).toLowerCase().split("e");
  const [whole, decimals = ""] = digits.split(".");
  const exponent = Number(power) - decimals.length;
  const value = BigInt(whole + decimals);
  return exponent >= 0 ? [value * 10n ** BigInt(exponent), 1n] : [value, 10n ** BigInt(-exponent)];
}

function gcd(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}

// The closest fraction with a denominator up to `most`, as Python's Fraction.limit_denominator finds it.
function limited([n, d], most) {
  const common = gcd(n, d);
  [n, d] = [n / common, d / common];
  if (d <= most) return [n, d];
  let [p0, q0, p1, q1, a, b] = [0n, 1n, 1n, 0n, n, d];
  for (;;) {
    const whole = a / b;
    const q2 = q0 + whole * q1;
    if (q2 > most) break;
    [p0, q0, p1, q1] = [p1, q1, p0 + whole * p1, q2];
    [a, b] = [b, a - whole * b];
  }
  const k = (most - q0) / q1;
  // Compare the distances of both candidates from n / d without leaving whole numbers.
  return 2n * b * (q0 + k * q1) <= d ? [p1, q1] : [p0 + k * p1, q0 + k * q1];
}

/** Up and down of a change of rate. */
export function ratio(fsIn, fsOut) {
  const [[n, d], [m, e]] = [fraction(fsOut), fraction(fsIn)];
  const [up, down] = limited([n * e, d * m], MOST_DENOMINATOR).map(Number);
  if (up / down < 1e-3 || up / down > 1e3) {
    throw new ConformError(`cannot resample from ${fsIn} Hz to ${fsOut} Hz: the rates must be within 1:1000`);
  }
  return [up, down];
}

// The modified Bessel function of order zero, by its power series.
function besselI0(x) {
  const quarter = (x * x) / 4;
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= quarter / (k * k);
    sum += term;
  }
  return sum;
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

// Taps of one phase: weights of the inputs around the output's position, adding up to one.
function tapsOf(phase, up, down) {
  const cutoff = Math.min(1, up / down);
  const half = Math.ceil(ZERO_CROSSINGS / cutoff);
  const edge = cutoff * (1 - 1.6 / ZERO_CROSSINGS);
  const at = ((phase * down) % up) / up;
  const weights = Float64Array.from({ length: 2 * half }, (_, k) => {
    const distance = k - half + 1 - at;
    const inside = Math.max(0, 1 - (distance / half) ** 2);
    return (edge * sinc(edge * distance) * besselI0(KAISER_BETA * Math.sqrt(inside))) / besselI0(KAISER_BETA);
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => Math.fround(weight / sum));
}

/** Resample rows (Float32Array each, finite), continued by their first and last value. */
export function resample(rows, fsIn, fsOut) {
  const [up, down] = ratio(fsIn, fsOut);
  if (up === down || !rows[0].length) return rows;
  const n = rows[0].length;
  const nOut = Math.ceil((n * up) / down);
  const out = rows.map(() => new Float32Array(nOut));
  const phases = new Array(up);
  for (let k = 0; k < nOut; k++) {
    const taps = (phases[k % up] ??= tapsOf(k % up, up, down));
    const first = Math.floor((k * down) / up) - taps.length / 2 + 1;
    rows.forEach((row, r) => (out[r][k] = weighted(row, taps, first, n)));
  }
  return out;
}

function weighted(row, taps, first, n) {
  let sum = 0;
  if (first >= 0 && first + taps.length <= n) {
    for (let j = 0; j < taps.length; j++) sum += taps[j] * row[first + j];
  } else {
    for (let j = 0; j < taps.length; j++) sum += taps[j] * row[Math.min(Math.max(first + j, 0), n - 1)];
  }
  return sum;
}
