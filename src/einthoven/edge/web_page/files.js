// Which of the selected files make a record together, and what a file is that this page cannot read.

import { readCsv } from "./csv.js";
import { ReadError } from "./errors.js";
import { readWfdb, signalFiles } from "./wfdb.js";

const TABLES = new Set(["csv", "tsv", "txt"]);

// First bytes of what people drop by mistake, or what the einthoven program reads and this page does not.
const FOREIGN = [
  [[0x89, 0x50, 0x4e, 0x47], "an image (PNG)"],
  [[0xff, 0xd8, 0xff], "an image (JPEG)"],
  [[0x47, 0x49, 0x46, 0x38], "an image (GIF)"],
  [[0x42, 0x4d], "an image (BMP)"],
  [[0x52, 0x49, 0x46, 0x46], "an image or a sound (RIFF)"],
  [[0x25, 0x50, 0x44, 0x46], "a PDF document"],
  [[0x50, 0x4b, 0x03, 0x04], "a ZIP archive or an Office document; unpack it, or save the table as CSV"],
  [[0x1f, 0x8b], "a compressed file; unpack it first"],
  [[0x89, 0x48, 0x44, 0x46], "an HDF5 file", true],
  [[0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], "a NumPy file", true],
  [[0x3c], "an XML file", true],
];

const suffixOf = (name) => name.slice(name.lastIndexOf(".") + 1).toLowerCase();
const stemOf = (name) => name.replace(/\.[^.]*$/, "");

/**
 * Read every record among the selected files.
 * @param {Map<string, Uint8Array>} files by name.
 * @param {object} stated rate, unit and leads that the user states.
 * @returns {{name: string, record?: object, error?: string, needs?: string}[]}
 */
export function readAll(files, stated) {
  const headers = [...files.keys()].filter((name) => suffixOf(name) === "hea");
  const used = new Set(headers.flatMap((name) => [name, ...signalFiles(name, files.get(name))]));
  const stems = new Set(headers.map(stemOf));
  // Beside a header lie annotations of the same name (.atr, .ii): they are no records.
  const tables = [...files.keys()].filter((name) => !used.has(name) && !(stems.has(stemOf(name)) && !isTable(name)));
  return [
    ...headers.map((name) => attempt(name, () => readWfdb(name, files, stated))),
    ...tables.map((name) => attempt(name, () => readTable(name, files.get(name), stated))),
  ];
}

const isTable = (name) => TABLES.has(suffixOf(name));

function attempt(name, read) {
  try {
    return { name, record: read() };
  } catch (error) {
    if (error instanceof ReadError) return { name, error: error.message, needs: error.needs };
    throw error;
  }
}

function readTable(name, bytes, stated) {
  if (!bytes.length) throw new ReadError(`${name}: the file is empty.`);
  const suffix = suffixOf(name);
  if (suffix === "dat" || suffix === "mat") {
    throw new ReadError(`${name}: needs its WFDB header ${stemOf(name)}.hea; select both files together.`);
  }
  const foreign = foreignKind(bytes);
  if (foreign) throw new ReadError(`${name}: ${foreign}`);
  return readCsv(name, bytes, stated);
}

function foreignKind(bytes) {
  const found = FOREIGN.find(([magic]) => magic.every((byte, k) => bytes[k] === byte));
  if (found) {
    const [, what, known] = found;
    const advice = known
      ? "the einthoven program may read it"
      : "an ECG is needed as numbers, not as a picture or document";
    return `this is ${what}. This page reads CSV tables and WFDB records; ${advice}.`;
  }
  if (String.fromCharCode(...bytes.subarray(128, 132)) === "DICM") {
    return "this is a DICOM file. This page reads CSV tables and WFDB records; the einthoven program may read it.";
  }
  return null;
}
