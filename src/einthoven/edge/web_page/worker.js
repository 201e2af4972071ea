// Reads and judges away from the page, so that it stays responsive. Asked once to start, then for files.

import { readAll } from "./files.js";
import { loadNetwork } from "./network.js";
import { readNovelty } from "./novelty.js";
import { predict } from "./predict.js";

// Probabilities of the sample ECG must come out as they did in Python when the folder was written: quantised graphs may
// round a value to the next step, wrong weights differ in the first digit.
const TOLERANCE = 0.02;
const MOST_BYTES = 500e6;

let model = null;

async function bytesOf(name, base) {
  const answer = await fetch(new URL(name, base));
  if (!answer.ok) throw new Error(`${name} could not be loaded (${answer.status}); is the folder complete?`);
  return answer.arrayBuffer();
}

async function checked(name, base, files) {
  const bytes = await bytesOf(name, base);
  if (!globalThis.crypto?.subtle) return bytes; // only on https and localhost; the page says so
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== files[name]) throw new Error(`${name} is not the file that was exported: its checksum differs.`);
  return bytes;
}

async function start({ base }) {
  const about = JSON.parse(new TextDecoder().decode(await bytesOf("model.json", base)));
  const load = (name) => checked(name, base, about.files);
  const [graph, wasm, sample, novelty] = await Promise.all([
    load(about.graph),
    load(about.runtime.wasm),
    load(about.sample.file),
    about.novelty ? load(about.novelty) : null,
  ]);
  const logitsOf = await loadNetwork(new Uint8Array(graph), wasm);
  model = { about, logitsOf, novelty: novelty && readNovelty(novelty) };
  const off = await selfTest(new Uint8Array(sample), about.sample);
  return { about, sample, off, verified: Boolean(globalThis.crypto?.subtle) };
}

// The sample ECG through the whole path, against what Python said about it; the largest difference in probability.
async function selfTest(bytes, { file, expected }) {
  const [{ record, error }] = readAll(new Map([[file, bytes]]), {});
  if (error) throw new Error(`the sample ECG cannot be read: ${error}`);
  const { findings } = await predict(record, model);
  const gaps = expected.map((finding, k) => Math.abs(finding.probability - (findings[k]?.probability ?? NaN)));
  const off = gaps.length === findings.length ? Math.max(...gaps) : NaN;
  if (off <= TOLERANCE) return off;
  throw new Error(
    `this browser gives other answers than Python did (off by ${off}); results would not be trustworthy.`,
  );
}

async function judge({ files, stated }) {
  const began = performance.now();
  const [contents, unread] = await contentsOf(files);
  const results = [...unread, ...readAll(contents, stated)];
  for (const result of results) {
    if (!result.record) continue;
    const { record } = result;
    // What the user states about the patient goes before what the file says.
    result.record = { ...record, age: stated.age ?? record.age, sex: stated.sex ?? record.sex };
    result.prediction = await predict(result.record, model);
  }
  return { results, seconds: (performance.now() - began) / 1000 };
}

async function contentsOf(files) {
  const contents = new Map();
  const unread = [];
  for (const file of files) {
    if (file.size > MOST_BYTES) {
      unread.push({ name: file.name, error: `${file.name}: larger than 500 MB; cut the recording into parts.` });
      continue;
    }
    try {
      contents.set(file.name, new Uint8Array(await file.arrayBuffer()));
    } catch {
      // Browsers hand over a dropped folder as a file that cannot be read.
      unread.push({ name: file.name, error: `${file.name}: cannot be read; of a folder, choose the files in it.` });
    }
  }
  return [contents, unread];
}

const ANSWERS = { start, judge };

self.onmessage = async ({ data: { id, ask, ...rest } }) => {
  try {
    self.postMessage({ id, value: await ANSWERS[ask](rest) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
