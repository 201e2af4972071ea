// Bring a record to what the model eats: leads by name, missing limb leads derived, filters and rate. The steps and
// their order are those of einthoven.signals.conform.

import { ConformError } from "./errors.js";
import { bandSections, notchSection, zeroPhase } from "./filters.js";
import { limbLeadWeights } from "./leads.js";
import { interpolate, rint } from "./numbers.js";
import { resample } from "./resample.js";

/** The record as `spec` wants it; derived leads are noted, missing samples (NaN) stay missing. */
export function conform(record, spec) {
  const ordered = orderLeads(record, spec.leads);
  const derived = spec.leads.filter((lead) => !record.leads.includes(lead));
  const notes = derived.length ? [`derived from the other limb leads: ${derived.join(", ")}`] : [];
  const signal = changed(ordered, record.fs, spec);
  return { ...record, signal, fs: spec.fs, leads: spec.leads, notes: [...record.notes, ...notes] };
}

function orderLeads(record, wanted) {
  const rowOf = (lead) => record.signal[record.leads.indexOf(lead)];
  const absent = [];
  const rows = wanted.map((lead) => {
    if (record.leads.includes(lead)) return rowOf(lead);
    const weights = limbLeadWeights(lead, record.leads);
    if (!weights) {
      absent.push(lead);
      return null;
    }
    const [[a, wa], [b, wb]] = weights.map(([name, weight]) => [rowOf(name), weight]);
    return a.map((value, k) => Math.fround(wa * value) + Math.fround(wb * b[k]));
  });
  if (!absent.length) return rows;
  const some = `lead${absent.length > 1 ? "s" : ""} ${absent.join(", ")}`;
  throw new ConformError(
    `${record.recordId || "record"}: missing ${some}, which cannot be derived; ` +
      `the record has ${record.leads.join(", ")}`,
  );
}

function changed(rows, fs, spec) {
  if (fs === spec.fs && !spec.band_hz && !spec.notch_hz) return rows;
  const whole = rows.map(bridge);
  const made = filteredAndResampled(whole, fs, spec);
  return made.map((row, r) => {
    if (whole[r] === rows[r]) return row;
    // A resampled sample is missing where its nearest original is.
    const source = (k) => Math.min(rint(k * (fs / spec.fs)), rows[r].length - 1);
    return row.map((value, k) => (Number.isFinite(rows[r][source(k)]) ? value : NaN));
  });
}

// Gaps filled by a straight line, so that filters do not spread them; a lead without a sample becomes 0.
function bridge(row) {
  if (row.every(Number.isFinite)) return row;
  const there = [...row.keys()].filter((k) => Number.isFinite(row[k]));
  if (!there.length) return new Float32Array(row.length);
  const values = there.map((k) => row[k]);
  return row.map((value, k) => (Number.isFinite(value) ? value : interpolate(k, there, values)));
}

function filteredAndResampled(rows, fs, spec) {
  // Filter at the higher of the two rates: a notch at 50 Hz must act before 100 Hz folds it away.
  const rate = Math.max(fs, spec.fs);
  let x = fs < spec.fs ? resample(rows, fs, spec.fs) : rows;
  if (spec.notch_hz) x = zeroPhase(x, [notchSection(rate, spec.notch_hz)], rate);
  if (spec.band_hz) {
    const [low, high] = spec.band_hz;
    x = zeroPhase(x, bandSections(rate, low, high >= spec.fs / 2 ? rate / 2 : high), rate);
  }
  return rate === spec.fs ? x : resample(x, rate, spec.fs);
}
