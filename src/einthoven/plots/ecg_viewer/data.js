// The record as the page carries it: steps of int16, as differences in time, deflated, in base64.

export const MISSING = -32768;
const [SMOOTH_S, WIDE_S] = [0.05, 0.02];

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Int16Array(await new Response(plain).arrayBuffer());
}

/** Rows of steps, one Int16Array per lead. */
async function unpack(text, nLeads) {
  const flat = await inflate(text);
  const n = flat.length / nLeads;
  return Array.from({ length: nLeads }, (_, k) => {
    const row = flat.subarray(k * n, (k + 1) * n);
    for (let i = 1; i < n; i++) row[i] += row[i - 1]; // wraps as the writer's did
    return row;
  });
}

// Running mean over 50 ms: colours of single samples cannot be read.
function smoothed(row, step, width) {
  const half = Math.max(0, Math.floor(width / 2));
  const sums = new Float64Array(row.length + 1);
  for (let i = 0; i < row.length; i++) sums[i + 1] = sums[i] + row[i] * step;
  return Float32Array.from(row, (_, i) => {
    const [first, end] = [Math.max(0, i - half), Math.min(row.length, i + half + 1)];
    return (sums[end] - sums[first]) / (end - first);
  });
}

/** What is drawn: numbers in millivolts are `rows[lead][k] * step`. */
export async function openRecord(carried) {
  const rows = await unpack(carried.signal, carried.leads.length);
  return { ...carried, rows, n: rows[0].length, duration: rows[0].length / carried.fs };
}

// Least and greatest step of a row within 20 ms: a steep stroke is marked to both sides, or its colour is not seen.
function reach(row, width) {
  const [low, high] = [new Int16Array(row.length), new Int16Array(row.length)];
  for (let i = 0; i < row.length; i++) {
    [low[i], high[i]] = [row[i], row[i]];
    for (let k = Math.max(0, i - width); k < Math.min(row.length, i + width + 1); k++) {
      if (row[k] === MISSING) continue;
      if (row[k] < low[i]) low[i] = row[k];
      if (row[k] > high[i]) high[i] = row[k];
    }
  }
  return { low, high };
}

/** An attribution: the running mean of its values, the value of full colour, and how far a marker reaches. */
export async function openOverlay(carried, record) {
  const rows = await unpack(carried.data, record.leads.length);
  const width = Math.round(SMOOTH_S * record.fs) | 1;
  const means = rows.map((row) => smoothed(row, carried.step, width));
  return { ...carried, means, reach: record.rows.map((row) => reach(row, Math.round(WIDE_S * record.fs))) };
}

/** Millivolts of a lead at a time in seconds, null where nothing was recorded. */
export function voltageAt(record, lead, seconds) {
  const k = Math.round(seconds * record.fs);
  const value = record.rows[lead]?.[k];
  return value === undefined || value === MISSING ? null : value * record.step;
}

/** Mean attribution of the 50 ms around a time. */
export function attributionAt(overlay, record, lead, seconds) {
  return overlay.means[lead][Math.min(record.n - 1, Math.max(0, Math.round(seconds * record.fs)))];
}
