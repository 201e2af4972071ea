// From a network's scores to findings: calibration, thresholds, contradictions and conformal sets, as fitted in Python.

import { interpolate } from "./numbers.js";

const TINY = 1e-7;
const clip = (p, low, high) => Math.min(Math.max(p, low), high);
const sigmoid = (z) => 0.5 * (1 + Math.tanh(0.5 * z));

export function logOdds(p) {
  const q = clip(p, TINY, 1 - TINY);
  return Math.log(q) - Math.log1p(-q);
}

const MAPS = {
  temperature: (p, m) => sigmoid(logOdds(p) / m.temperature),
  platt: (p, m) => sigmoid(m.slope * logOdds(p) + m.shift),
  isotonic: (p, m) => interpolate(p, m.scores, m.probabilities),
  beta: (p, m) => sigmoid(m.a * Math.log(clip(p, TINY, 1)) - m.b * Math.log1p(-clip(p, 0, 1 - TINY)) + m.c),
};

/** Sigmoid of each logit, or softmax over classes that exclude each other. */
export function toProbabilities(logits, kind) {
  if (kind !== "multiclass") return logits.map((z) => 1 / (1 + Math.exp(-z)));
  return softmax(logits);
}

function softmax(z) {
  const top = Math.max(...z);
  const e = z.map((one) => Math.exp(one - top));
  const sum = e.reduce((total, one) => total + one, 0);
  return e.map((one) => one / sum);
}

/** Calibrated probabilities of one record's scores. */
export function calibrate(p, { method, maps }) {
  if (method === "softmax") {
    const temperature = maps[0]?.temperature ?? 1;
    return softmax(p.map((one) => Math.log(clip(one, TINY, 1)) / temperature));
  }
  return p.map((one, k) => (maps[k] ? MAPS[method](one, maps[k]) : one));
}

// Of findings that contradict each other the one farther above its threshold, in log-odds, stands.
function contradicted(q, limits, model) {
  const reached = q.map((p, k) => p >= limits[k]);
  const margin = q.map((p, k) => (reached[k] ? logOdds(p) - logOdds(Math.min(limits[k], 1)) : -Infinity));
  const overruled = q.map(() => false);
  for (const [name, others] of Object.entries(model.exclusions)) {
    const k = model.classes.indexOf(name);
    const rest = others.map((other) => model.classes.indexOf(other)).filter((j) => j >= 0);
    if (k < 0 || !reached[k] || !rest.some((j) => reached[j])) continue;
    const strongest = Math.max(...rest.map((j) => margin[j]));
    if (margin[k] <= strongest) overruled[k] = true;
    else rest.filter((j) => reached[j]).forEach((j) => (overruled[j] = true));
  }
  return overruled;
}

// What a conformal set says; it is never empty: a probability unusual for both answers leaves both.
function sureOf(p, k, conformal) {
  const present = p >= conformal.lowest_positive[k];
  const absent = p <= conformal.highest_negative[k];
  if (present === absent) return "undecided";
  return present ? "present" : "absent";
}

/** Findings of one record from its joined scores, in the order of the model's classes. */
export function decide(p, model) {
  const q = calibrate(p, model.calibration);
  const thresholds = model.classes.map((name) => model.thresholds.values[name] ?? null);
  const limits = thresholds.map((limit) => limit ?? Infinity);
  const multiclass = model.kind === "multiclass";
  const overruled = multiclass ? q.map(() => false) : contradicted(q, limits, model);
  const likeliest = q.indexOf(Math.max(...q));
  return model.classes.map((name, k) => ({
    class: name,
    description: model.descriptions[name] ?? "",
    probability: q[k],
    threshold: thresholds[k],
    present: multiclass ? k === likeliest : thresholds[k] === null ? null : q[k] >= limits[k] && !overruled[k],
    overruled: overruled[k],
    sure: model.conformal ? sureOf(q[k], k, model.conformal) : null,
  }));
}
