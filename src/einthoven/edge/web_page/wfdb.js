// WFDB records: a header with its signal files, as PhysioNet (.dat) and the CinC challenges (.mat) publish them.
// Formats: WFDB Applications Guide, signal(5).

import { ReadError } from "./errors.js";
import { canonicalLead } from "./leads.js";
import { agreedRate } from "./stated.js";
import { perMillivolt, UNITS } from "./units.js";
import { patientFacts } from "./wfdb_comments.js";
import { parseHeader } from "./wfdb_header.js";

const DEFAULT_FS = 250; // header(5)
const MATLAB4_INT16 = 30;

// Per format: bytes that n values take, how they are unpacked, and the mark of a missing sample.
const FORMATS = {
  16: { size: (n) => 2 * n, count: (bytes) => Math.floor(bytes / 2), unpack: unpack16, invalid: -32768 },
  80: { size: (n) => n, count: (bytes) => bytes, unpack: unpack80, invalid: -128 },
  212: {
    size: (n) => Math.floor((3 * n + 1) / 2),
    count: (bytes) => Math.floor((bytes * 2) / 3),
    unpack: unpack212,
    invalid: -2048,
  },
};

/**
 * Read a WFDB record.
 * @param {string} name of the header.
 * @param {Map<string, Uint8Array>} files the selected files by name.
 * @param {{fs?: number, unit?: string, leads?: string[]}} stated what the user states; unit and leads go before the file.
 */
export function readWfdb(name, files, stated = {}) {
  const header = parseHeader(files.get(name), name);
  for (const { format, perFrame, skew } of header.signals) {
    if (!(format in FORMATS)) {
      const known = Object.keys(FORMATS).join(", ");
      throw new ReadError(`${name}: signals of WFDB format ${format}; this page reads ${known}.`);
    }
    if (perFrame !== 1 || skew)
      throw new ReadError(`${name}: signals at several rates, or shifted; this page reads neither.`);
  }
  const columns = integersOf(header, files);
  const facts = patientFacts(header.comments);
  const notes = verify(columns, header);
  notes.push(...facts.notes);
  const [signal, leads] = voltages(columns, header, stated, notes);
  const fs = rateOf(header, stated, notes);
  const units = [...new Set(header.signals.map((one) => one.unit))].join(", ");
  const unit = stated.unit ? `${stated.unit}, as stated` : `${units}, from the header`;
  return { format: "WFDB", recordId: header.record, signal, fs, leads, unit, age: facts.age, sex: facts.sex, notes };
}

/** Names of the signal files that a header asks for; none where it cannot be parsed. */
export function signalFiles(name, bytes) {
  try {
    return [...new Set(parseHeader(bytes, name).signals.map((signal) => signal.file))];
  } catch (error) {
    if (error instanceof ReadError) return []; // reading the record says what is wrong
    throw error;
  }
}

// One Int16Array per signal, in the header's order.
function integersOf(header, files) {
  const columns = new Array(header.signals.length);
  for (const file of new Set(header.signals.map((signal) => signal.file))) {
    const members = header.signals.map((signal, k) => k).filter((k) => header.signals[k].file === file);
    const values = groupOf(
      file,
      members.map((k) => header.signals[k]),
      header,
      files,
    );
    const width = members.length;
    members.forEach((k, place) => {
      columns[k] = Int16Array.from({ length: values.length / width }, (_, row) => values[row * width + place]);
    });
  }
  if (new Set(columns.map((column) => column.length)).size > 1) {
    throw new ReadError(`${header.record}: its signal files are of different lengths.`);
  }
  return columns;
}

function groupOf(file, group, header, files) {
  const [first] = group;
  if (group.some(({ format, offset }) => format !== first.format || offset !== first.offset)) {
    throw new ReadError(`${file}: the header gives its signals different formats or offsets.`);
  }
  const bytes = files.get(file);
  if (!bytes) {
    throw new ReadError(
      `${file}: this signal file, named by the header of ${header.record}, is missing; ` +
        `select ${header.record}.hea and ${file} together.`,
    );
  }
  const nValues = countValues(header.nSamples, first, group.length, bytes.length);
  if (first.offset && file.endsWith(".mat")) checkMatlab(bytes, first, group.length, nValues);
  return FORMATS[first.format].unpack(bytes.subarray(first.offset), nValues);
}

// How many values a file holds; its size must be what the header says, where the header says it.
function countValues(nSamples, signal, width, nBytes) {
  const { size, count } = FORMATS[signal.format];
  const stored = nBytes - signal.offset;
  const free = count(Math.max(0, stored));
  const nValues = nSamples === null ? free - (free % width) : nSamples * width;
  const expected = size(nValues);
  const padding = signal.format === 212 && nValues % 2 ? 1 : 0;
  const tooLong = signal.format !== 80 && stored > expected + padding;
  if (nValues > 0 && stored >= expected && !tooLong) return nValues;
  throw new ReadError(
    `${signal.file}: the header asks for ${expected + signal.offset} bytes ` +
      `(${Math.floor(nValues / width)} samples of ${width} signals), the file has ${nBytes}.`,
  );
}

// The CinC challenges wrap format 16 as one MATLAB v4 matrix of int16 with a 24-byte header.
function checkMatlab(bytes, signal, width, nValues) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wanted = [MATLAB4_INT16, width, nValues / width, 0, signal.offset - 20];
  if (wanted.every((value, k) => view.getInt32(4 * k, true) === value)) return;
  throw new ReadError(
    `${signal.file}: its MATLAB header is not that of a version 4 matrix of ${width} x ${nValues / width} 16-bit ` +
      "integers, which the WFDB header asks for.",
  );
}

function unpack16(bytes, n) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int16Array.from({ length: n }, (_, k) => view.getInt16(2 * k, true));
}

function unpack80(bytes, n) {
  return Int16Array.from(bytes.subarray(0, n), (byte) => byte - 128);
}

// Two 12-bit values in three bytes: low byte, both high nibbles, low byte.
function unpack212(bytes, n) {
  const values = new Int16Array(n);
  for (let k = 0; k < n; k++) {
    const at = 3 * (k >> 1);
    const middle = bytes[at + 1] ?? 0;
    const low = k % 2 ? (bytes[at + 2] ?? 0) : bytes[at];
    const high = k % 2 ? middle >> 4 : middle & 15;
    values[k] = ((high << 28) >> 20) | low; // the shift back spreads the sign
  }
  return values;
}

// The first sample and the 16-bit sum of each signal against the header's.
function verify(columns, header) {
  const odd = { checksum: [], "initial value": [] };
  header.signals.forEach((signal, k) => {
    const sum = columns[k].reduce((total, value) => (total + value) & 0xffff, 0);
    const name = signal.name || `signal ${k + 1}`;
    if (signal.checksum !== null && ((signal.checksum - sum) & 0xffff) !== 0) odd.checksum.push(name);
    if (signal.initial !== null && signal.initial !== columns[k][0]) odd["initial value"].push(name);
  });
  const both = odd.checksum.filter((name) => odd["initial value"].includes(name));
  if (both.length) {
    throw new ReadError(
      `${header.record}: the header contradicts the file: initial value and checksum of ${both.join(", ")} differ; ` +
        "download the record again.",
    );
  }
  return Object.entries(odd)
    .filter(([, names]) => names.length)
    .map(([what, names]) => `The header's ${what} differs from the file's in ${names.join(", ")}.`);
}

// Integers to physical units. Python computes formats 16 and 212 in single precision, others in double.
function physical(column, signal, single) {
  const round = single ? Math.fround : (x) => x;
  const gain = round(signal.gain);
  const baseline = round(signal.baseline);
  const { invalid } = FORMATS[signal.format];
  return Float32Array.from(column, (value) => (value === invalid ? NaN : round(value - baseline) / gain));
}

// Keep the signals that are voltages, in millivolts, and name them.
function voltages(columns, header, stated, notes) {
  const { signals, record } = header;
  if (stated.leads && stated.leads.length !== signals.length) {
    throw new ReadError(
      `${record}: ${stated.leads.length} lead names were stated for ${signals.length} signals.`,
      "leads",
    );
  }
  const leads = leadNames(stated.leads ?? signals.map((signal) => signal.name), notes);
  const scales = signals.map((signal) => (stated.unit ? UNITS[stated.unit] : perMillivolt(signal.unit)));
  const kept = scales.map((scale, k) => k).filter((k) => scales[k] !== null);
  if (!kept.length) {
    const units = signals.map((signal) => signal.unit).join(", ");
    throw new ReadError(`${record}: no signal is a voltage (units: ${units}); state the unit if one is.`, "unit");
  }
  if (kept.length < signals.length) {
    const dropped = scales.flatMap((scale, k) => (scale === null ? [`${leads[k]} [${signals[k].unit}]`] : []));
    notes.push(`Signals that are no voltages were left out: ${dropped.join(", ")}.`);
  }
  const single = signals.every((signal) => signal.format !== 80);
  const signal = kept.map((k) => {
    const row = physical(columns[k], signals[k], single);
    return scales[k] === 1 ? row : row.map((value) => value / Math.fround(scales[k]));
  });
  return [signal, kept.map((k) => leads[k])];
}

// Usual and different names; several databases call both of two signals "ECG".
function leadNames(names, notes) {
  const leads = [];
  names.forEach((name, k) => {
    let lead = canonicalLead(name) || `signal ${k + 1}`;
    if (leads.includes(lead)) {
      lead = `${lead} (${k + 1})`;
      notes.push(`Signal ${k + 1} has the name of another and is called '${lead}'.`);
    }
    leads.push(lead);
  });
  return leads;
}

function rateOf(header, stated, notes) {
  const fs = agreedRate(header.fs, stated, header.record, "the header");
  if (fs === null) notes.push("The header states no sampling rate; WFDB's default of 250 Hz was taken.");
  return fs ?? DEFAULT_FS;
}
