// Is this signal fit to be judged? Faults by name, each a refusal or a warning; bounds as in einthoven.signals.quality.

import { general, median, percent, percentileOfSorted, sortedFinite } from "./numbers.js";

export const MIN_DURATION_S = 2;
const [MIN_RANGE, LOW_RANGE] = [0.05, 0.25]; // mV, 1st to 99th percentile, median over leads
const [MAX_RANGE, HIGH_RANGE] = [15, 5];
const FLAT = 0.002;
const MAX_FLAT_LEADS = 2;
const [MAX_OFFSET, HIGH_OFFSET] = [5, 1]; // mV, median of a lead
const MAX_MISSING = 0.2;

const flag = (code, text, refuse) => ({ code, text, refuse });

/** Name what is wrong with rows in mV (NaN where nothing was recorded) at `fs` Hz. */
export function checkSignal(rows, fs, leads) {
  const n = rows[0].length;
  if (n / fs < MIN_DURATION_S) {
    const text = `the signal lasts ${(n / fs).toFixed(2)} s, at least ${MIN_DURATION_S} s are needed`;
    return [flag("too_short", text, true)];
  }
  const sorted = rows.map(sortedFinite);
  const missing = sorted.map((row) => 1 - row.length / n);
  return [...missingFlags(missing, leads), ...amplitudeFlags(sorted, leads)];
}

function missingFlags(missing, leads) {
  const empty = leads.filter((_, k) => missing[k] === 1);
  const partly = leads.filter((_, k) => missing[k] > MAX_MISSING && missing[k] < 1);
  const flags = empty.length ? [flag("missing_leads", `nothing was recorded in ${empty.join(", ")}`, true)] : [];
  const share = missing.reduce((sum, m) => sum + m, 0) / missing.length;
  if (partly.length) {
    const text = `more than ${percent(MAX_MISSING)} of the samples are missing (NaN) in ${partly.join(", ")}`;
    flags.push(flag("missing_samples", text, true));
  } else if (share > 0 && !empty.length) {
    flags.push(flag("missing_samples", `${percent(share, 2)} of the samples are missing (NaN)`, false));
  }
  return flags;
}

function amplitudeFlags(sorted, leads) {
  const spread = sorted.map((row) => percentileOfSorted(row, 99) - percentileOfSorted(row, 1));
  const present = spread.filter((s) => !Number.isNaN(s));
  if (!present.length) return [];
  const largest = Math.max(...present);
  if (largest === 0) return [flag("flat", "every lead is flat", true)];
  const alive = present.filter((s) => s >= FLAT);
  const typical = alive.length ? median(alive) : largest;
  if (typical > MAX_RANGE || typical < MIN_RANGE) {
    const hint = typical > MAX_RANGE ? "microvolts read as millivolts" : "volts read as millivolts";
    const text = `amplitudes of ${general(typical, 3)} mV are not an ECG's (${MIN_RANGE} to ${MAX_RANGE} mV): ${hint}?`;
    return [flag("wrong_unit", text, true)];
  }
  const flat = leads.filter((_, k) => spread[k] < FLAT);
  const flags = flat.length ? [flag("flat_leads", `flat in ${flat.join(", ")}`, flat.length > MAX_FLAT_LEADS)] : [];
  const wild = leads.filter((_, k) => spread[k] > MAX_RANGE);
  if (wild.length) {
    const text = `amplitudes above ${MAX_RANGE} mV in ${wild.join(", ")}`;
    flags.push(flag("amplitude", text, wild.length > MAX_FLAT_LEADS));
  } else if (typical < LOW_RANGE || typical > HIGH_RANGE) {
    const range = `${LOW_RANGE} to ${HIGH_RANGE} mV`;
    flags.push(
      flag("amplitude", `amplitudes of ${general(typical, 3)} mV are unusual (${range}): is the unit right?`, false),
    );
  }
  return [...flags, ...offsetFlags(sorted, leads)];
}

function offsetFlags(sorted, leads) {
  const offset = sorted.map((row) => Math.abs(percentileOfSorted(row, 50)));
  const high = leads.filter((_, k) => offset[k] > HIGH_OFFSET);
  if (!high.length) return [];
  const most = Math.max(...offset.filter((value) => !Number.isNaN(value)));
  const where = `the baseline lies up to ${general(most, 3)} mV from zero in ${high.join(", ")}`;
  return [flag("offset", `${where}: remove the electrodes' offset`, most > MAX_OFFSET)];
}
