// The model's graph in ONNX Runtime Web: one thread of WebAssembly, nothing else.

import * as ort from "./onnxruntime/ort.js";

const MOST_WINDOWS = 32; // at once: bounded memory for long recordings

/**
 * Load a graph.
 * @param {Uint8Array} graph the bytes of model.onnx.
 * @param {ArrayBuffer} wasm the runtime's WebAssembly.
 * @returns {Promise<Function>} of windows to logits.
 */
export async function loadNetwork(graph, wasm) {
  ort.env.wasm.numThreads = 1; // threads need headers that plain servers do not send
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  const [signalName, factsName] = session.inputNames;

  /** Logits, one array of classes per window, of windows (count, leads, length) in mV and one record's facts. */
  return async function logitsOf(cut, count, leads, length, facts) {
    const logits = [];
    for (let first = 0; first < count; first += MOST_WINDOWS) {
      const n = Math.min(MOST_WINDOWS, count - first);
      const part = cut.subarray(first * leads * length, (first + n) * leads * length);
      const feeds = { [signalName]: new ort.Tensor("float32", part, [n, leads, length]) };
      if (factsName) {
        const same = Float32Array.from({ length: n * facts.length }, (_, k) => facts[k % facts.length]);
        feeds[factsName] = new ort.Tensor("float32", same, [n, facts.length]);
      }
      const { data, dims } = (await session.run(feeds))[session.outputNames[0]];
      for (let row = 0; row < n; row++) logits.push(Array.from(data.subarray(row * dims[1], (row + 1) * dims[1])));
    }
    return logits;
  };
}
