// Is a record unlike those that the network was trained on? The detector of einthoven.decisions.novelty, read from its
// safetensors file.

import { featureNames, recordFeatures } from "./statistics.js";

const HALF = [-3.090232306167813, -2.5758293035489004, -2.0537489106318225, -1.2815515655446008, -0.6744897501960817];
const NORMAL = [...HALF, 0, ...HALF.map((z) => -z).reverse()]; // normal scores of the stored quantiles
const MOST_SCORE = 30;
const DISTANCE_FLOOR = 1e-2;
const ARRAYS = { F64: Float64Array, I64: BigInt64Array };

/** Read a detector from the bytes (ArrayBuffer) of its file. */
export function readNovelty(buffer) {
  const arrays = readSafetensors(buffer);
  const [threshold] = arrays.limits;
  const count = (Object.keys(arrays).length - 1) / 4;
  const parts = Array.from({ length: count }, (_, k) => ({
    columns: Array.from(arrays[`columns.${k}`], Number),
    knots: rowsOf(arrays[`knots.${k}`], NORMAL.length),
    whitening: arrays[`whitening.${k}`],
    standing: arrays[`standing.${k}`],
  }));
  return { threshold, parts };
}

function readSafetensors(buffer) {
  const headerLength = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerLength)));
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return Object.fromEntries(
    entries.map(
      ([
        name,
        {
          dtype,
          data_offsets: [from, to],
        },
      ]) => {
        return [name, new ARRAYS[dtype](buffer.slice(8 + headerLength + from, 8 + headerLength + to))];
      },
    ),
  );
}

function rowsOf(values, width) {
  return Array.from({ length: values.length / width }, (_, k) => values.subarray(k * width, (k + 1) * width));
}

// Linear between the knots and, with the slope of the outermost pair, beyond them.
function normalScore(x, knots) {
  let piece = 0;
  while (piece < NORMAL.length - 2 && knots[piece + 1] < x) piece++;
  const slope = (NORMAL[piece + 1] - NORMAL[piece]) / (knots[piece + 1] - knots[piece]);
  return Math.min(Math.max(NORMAL[piece] + slope * (x - knots[piece]), -MOST_SCORE), MOST_SCORE);
}

function partScores(features, part) {
  return part.columns.map((column, k) => normalScore(features[column], part.knots[k]));
}

function partScore(features, part) {
  const z = partScores(features, part);
  const n = z.length;
  let squares = 0;
  for (let column = 0; column < n; column++) {
    let sum = 0;
    for (let row = 0; row < n; row++) sum += z[row] * part.whitening[row * n + column];
    squares += sum * sum;
  }
  return normalScore(Math.log(squares / n + DISTANCE_FLOOR), part.standing);
}

/** How unlike training a record is, where the alarm is, and the features that are farthest off. */
export function noveltyOf(detector, rows, fs, leads) {
  const features = recordFeatures(rows, fs, leads);
  const score = Math.max(...detector.parts.map((part) => partScore(features, part)));
  const apart = new Float64Array(features.length);
  for (const part of detector.parts) {
    partScores(features, part).forEach((z, k) => (apart[part.columns[k]] = Math.abs(z)));
  }
  const names = featureNames(leads);
  const order = [...apart.keys()].sort((a, b) => apart[b] - apart[a]); // stable, as in Python
  return { score, threshold: detector.threshold, odd: order.slice(0, 3).map((k) => names[k]) };
}
