// What a record is like, in about 190 numbers: size, spectrum, shape, how leads go together, and whether a heart beats.
// Numbers, order and floors are those of einthoven.signals.statistics, which documents each.

import { powerSpectrum } from "./fourier.js";
import { limbLeadWeights, TWELVE_LEADS } from "./leads.js";
import { median, rint } from "./numbers.js";
import { windowStarts } from "./windows.js";

const SEGMENT_S = 10;
const MOST_SEGMENTS = 6;
const FLOOR_MV = 1e-3;
const RESIDUAL_FLOOR = 0.1;
const BANDS_HZ = [
  [0, 0.7],
  [5, 15],
  [15, 35],
  [35, 150],
];
const SHARE_FLOOR = 1e-5;
const LARGEST_CORRELATION = 0.999;
const BEAT_S = [0.3, 2];
const SMOOTH_S = 0.1;
const REPOLARISATION_S = 0.3;
const LEAST_SAMPLES = 16;
const PER_LEAD = [
  "amplitude",
  "content below 0.7 Hz",
  "content at 5 to 15 Hz",
  "content at 15 to 35 Hz",
  "content above 35 Hz",
  "peakedness",
  "skewness",
  "skewness of slopes",
  "asymmetry in time",
];

const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const meanBy = (n, term) => {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += term(k);
  return sum / n;
};
const fisher = (r) => Math.atanh(Math.min(Math.max(r, -LARGEST_CORRELATION), LARGEST_CORRELATION));
const pairsOf = (n) => [...Array(n).keys()].flatMap((a) => [...Array(n - a - 1).keys()].map((b) => [a, a + b + 1]));

function lawsOf(leads) {
  const limb = TWELVE_LEADS.slice(0, 6).filter((lead) => leads.includes(lead));
  return limb.slice(2).map((lead) => [lead, limbLeadWeights(lead, limb.slice(0, 2)) ?? []]);
}

/** Names of the features, in the order of `recordFeatures`. */
export function featureNames(leads) {
  return [
    ...PER_LEAD.flatMap((what) => leads.map((lead) => `${what} of ${lead}`)),
    ...pairsOf(leads.length).map(([a, b]) => `correlation of ${leads[a]} and ${leads[b]}`),
    ...lawsOf(leads).map(([lead]) => `Einthoven's law in ${lead}`),
    "strength of the beat",
    "interval of the beat",
    "sharpness of the beat",
    ...PER_LEAD.map((what) => `mean ${what}`),
  ];
}

/** Features of rows in mV (NaN counts as 0): the median over up to six parts of 10 s. */
export function recordFeatures(rows, fs, leads) {
  const n = rows[0].length;
  const length = Math.min(n, rint(SEGMENT_S * fs));
  const every = windowStarts(n, length, length);
  const count = Math.min(every.length, MOST_SEGMENTS);
  const places = Array.from({ length: count }, (_, k) =>
    count > 1 ? rint((k * (every.length - 1)) / (count - 1)) : 0,
  );
  const parts = [...new Set(places)].map((k) => {
    return partFeatures(
      rows.map((row) => row.subarray(every[k], every[k] + length)),
      fs,
      leads,
    );
  });
  return parts[0].map((_, k) => median(parts.map((part) => part[k])));
}

function partFeatures(rows, fs, leads) {
  const x = rows.map((row) => {
    const padded = new Float64Array(Math.max(row.length, LEAST_SAMPLES));
    row.forEach((value, k) => (padded[k] = Number.isNaN(value) ? 0 : value));
    return padded;
  });
  const centred = x.map((row) => {
    const mean = meanOf(row);
    return row.map((value) => value - mean);
  });
  const spread = centred.map((row) => Math.sqrt(meanBy(row.length, (k) => row[k] ** 2)));
  const z = centred.map((row, r) => row.map((value) => value / Math.max(spread[r], FLOOR_MV)));
  const own = [spread.map((s) => Math.log10(Math.max(s, FLOOR_MV))), ...bands(z, fs), ...shape(z, fs)];
  return [...own.flat(), ...correlations(z), ...lawResiduals(x, leads), ...beat(z, fs), ...own.map(meanOf)];
}

function bands(z, fs) {
  const shares = z.map((row) => {
    const power = powerSpectrum(row);
    const total = Math.max(
      power.reduce((sum, p) => sum + p, 0),
      1e-12,
    );
    const hz = (k) => (k * fs) / row.length;
    return BANDS_HZ.map(([low, high]) => {
      const inside = power.reduce((sum, p, k) => (hz(k) >= low && hz(k) < high ? sum + p : sum), 0);
      return Math.log10(Math.max(inside / total, SHARE_FLOOR));
    });
  });
  return BANDS_HZ.map((_, band) => shares.map((row) => row[band]));
}

function shape(z, fs) {
  const n = z[0].length;
  const lag = Math.min(rint(REPOLARISATION_S * fs), n - 1);
  const per = (measure) => z.map(measure);
  return [
    per((row) =>
      Math.log10(
        Math.max(
          meanBy(n, (k) => row[k] ** 4),
          1,
        ),
      ),
    ),
    per((row) => Math.asinh(meanBy(n, (k) => row[k] ** 3))),
    per((row) => {
      const slope = (k) => row[k + 1] - row[k];
      const steep = Math.max(
        meanBy(n - 1, (k) => slope(k) ** 2),
        1e-12,
      );
      return Math.asinh(meanBy(n - 1, (k) => slope(k) ** 3) / steep ** 1.5);
    }),
    per((row) => Math.asinh(meanBy(n - lag, (k) => row[k] * row[k + lag] * (row[k] - row[k + lag])))),
  ];
}

function correlations(z) {
  const n = z[0].length;
  return pairsOf(z.length).map(([a, b]) => fisher(meanBy(n, (k) => z[a][k] * z[b][k])));
}

function lawResiduals(x, leads) {
  const rowOf = (lead) => x[leads.indexOf(lead)];
  const n = x[0].length;
  const limb = TWELVE_LEADS.slice(0, 6)
    .filter((lead) => leads.includes(lead))
    .map(rowOf);
  const size = Math.max(Math.sqrt(meanOf(limb.map((row) => meanBy(n, (k) => row[k] ** 2)))), FLOOR_MV);
  return lawsOf(leads).map(([lead, weights]) => {
    const follows = (k) => weights.reduce((sum, [name, weight]) => sum + weight * rowOf(name)[k], 0);
    const rest = Math.sqrt(meanBy(n, (k) => (rowOf(lead)[k] - follows(k)) ** 2)) / size;
    return Math.log10(Math.max(rest, RESIDUAL_FLOOR));
  });
}

// Strength and lag of the largest autocorrelation of the steepness at 0.3 to 2 s, and its peakedness.
function beat(z, fs) {
  const smooth = smoothSteepness(z, fs);
  const n = smooth.length;
  const together = (lag) => meanBy(n - lag, (k) => smooth[k] * smooth[k + lag]) * (n - lag);
  const first = Math.min(Math.max(1, rint(BEAT_S[0] * fs)), n - 1);
  const last = Math.max(Math.min(rint(BEAT_S[1] * fs), Math.floor(n / 2)), first);
  const at = Array.from({ length: last - first + 1 }, (_, k) => together(first + k));
  const best = at.reduce((most, value, k) => (value > at[most] ? k : most), 0);
  const strength = at[best] / Math.max(together(0), 1e-12);
  const square = meanBy(n, (k) => smooth[k] ** 2);
  const kurtosis = meanBy(n, (k) => smooth[k] ** 4) / Math.max(square ** 2, 1e-24);
  return [fisher(strength), Math.log2((first + best) / fs), Math.log10(Math.max(kurtosis, 1))];
}

function smoothSteepness(z, fs) {
  const n = z[0].length - 1;
  const summed = new Float64Array(n + 1);
  for (let k = 0; k < n; k++) summed[k + 1] = summed[k] + Math.sqrt(meanOf(z.map((row) => (row[k + 1] - row[k]) ** 2)));
  const width = Math.max(1, Math.min(rint(SMOOTH_S * fs), Math.floor(n / 4)));
  const smooth = Float64Array.from({ length: n + 1 - width }, (_, k) => (summed[k + width] - summed[k]) / width);
  const mean = meanOf(smooth);
  return smooth.map((value) => value - mean);
}
