// What the model says about a record: quality, conform, windows, network, aggregate, decide, as Bundle.predict.

import { conform } from "./conform.js";
import { decide, toProbabilities } from "./decisions.js";
import { ConformError } from "./errors.js";
import { noveltyOf } from "./novelty.js";
import { general } from "./numbers.js";
import { checkSignal } from "./quality.js";
import { aggregate, cutWindows } from "./windows.js";

const SEXES = ["female", "male"];

/**
 * Judge one record.
 * @param {object} record as the readers make it.
 * @param {{about: object, logitsOf: Function, novelty: object|null}} model `about` is model.json.
 * @returns the same fields as Prediction.to_dict in Python; findings are empty where a flag refuses the record.
 */
export async function predict(record, model) {
  const { spec, window } = model.about;
  const answer = (flags, notes, findings = []) => ({
    record_id: record.recordId,
    refused: flags.some((flag) => flag.refuse),
    findings,
    flags,
    notes,
  });
  let conformed;
  try {
    conformed = conform(record, spec);
  } catch (error) {
    if (!(error instanceof ConformError)) throw error;
    return answer([{ code: "does_not_conform", text: error.message, refuse: true }], record.notes);
  }
  const flags = [...checkSignal(conformed.signal, spec.fs, spec.leads), ...rateFlags(record.fs, spec.fs)];
  if (flags.some((flag) => flag.refuse)) return answer(flags, conformed.notes);
  flags.push(...paddingFlags(conformed, window), ...noveltyFlags(conformed, model));
  const { cut, count } = cutWindows(conformed.signal, window.length, window.stride);
  const facts = factsOf(record, model.about.facts);
  flags.push(...factFlags(facts, model.about.facts));
  const logits = await model.logitsOf(cut, count, spec.leads.length, window.length, facts);
  const scores = aggregate(
    logits.map((row) => toProbabilities(row, model.about.kind)),
    window.aggregate,
  );
  return answer(flags, conformed.notes, decide(scores, model.about));
}

function rateFlags(fs, wanted) {
  if (fs >= wanted) return [];
  const text = `recorded at ${general(fs)} Hz, below the model's ${general(wanted)} Hz: is the rate right?`;
  return [{ code: "low_rate", text, refuse: fs < wanted / 2 }];
}

function paddingFlags({ signal, fs }, window) {
  if (signal[0].length >= window.length) return [];
  const [seconds, needed] = [(signal[0].length / fs).toFixed(2), general(window.length / fs)];
  const lengths = `${seconds} s is less than the model's window of ${needed} s`;
  return [{ code: "padded", text: `${lengths}; the rest was filled with zeros`, refuse: false }];
}

function noveltyFlags({ signal }, { novelty, about }) {
  if (!novelty) return [];
  const { score, threshold, odd } = noveltyOf(novelty, signal, about.spec.fs, about.spec.leads);
  if (score <= threshold) return [];
  const bound = `score ${score.toFixed(1)}, alarm above ${threshold.toFixed(1)}`;
  const text = `unlike the records of training (${bound}), most in ${odd.join(", ")}`;
  return [{ code: "unlike_training", text, refuse: false }];
}

// Age, sex, and NaN for what nobody knows; measurements are not made on this page.
function factsOf(record, names) {
  return Float32Array.from(names, (name) => {
    if (name === "age") return record.age ?? NaN;
    if (SEXES.includes(name) && record.sex) return Number(record.sex === name);
    return NaN;
  });
}

function factFlags(facts, names) {
  const unknown = names.filter((_, k) => Number.isNaN(facts[k]));
  if (!unknown.length) return [];
  const some = unknown.slice(0, 4).join(", ") + (unknown.length > 4 ? " ..." : "");
  const parts = [`${unknown.length} of ${names.length} facts that the model can use are unknown: ${some}`];
  if (unknown.some((name) => name.startsWith("measured:"))) {
    parts.push("this page does not measure the signal, the einthoven program does");
  }
  return [{ code: "facts_unknown", text: parts.join("; "), refuse: false }];
}
