// From text to a table of numbers: separators, decimal commas, empty cells, and where a cell is wrong.

import { ReadError } from "./errors.js";

const MOST_COLUMNS = 512;
const EMPTY = new Set(["", "nan", "na", "n/a", "null", "none", "-"]);
const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/;

export function isNumber(text) {
  return NUMBER.test(text.trim().replace(",", "."));
}

/** Lines of a text file in UTF-8, UTF-16 with its mark, or Latin-1. */
export function splitText(bytes, name) {
  const text = decode(bytes);
  if (text.includes("\0")) throw new ReadError(`${name}: the file is binary, not a text table.`);
  const trimmed = text.replace(/\r\n?/g, "\n").trimEnd();
  return trimmed ? trimmed.split("\n") : [];
}

function decode(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes); // Latin-1, as far as tables of numbers use it
  }
}

const endsWith = (line, separator) => line.replace(/[\r\n ]+$/, "").endsWith(separator);

/** Separator and decimal sign of a table; a separator of null stands for runs of blanks. */
export function detectDialect(lines) {
  const sample = lines.slice(1, 20).join("\n") || lines.join("\n");
  const separator = [";", "\t", ","].find((sign) => sample.includes(sign)) ?? null;
  const body = lines.length > 1 ? lines.slice(1) : [sample];
  const has = (sign) => body.some((line) => line.includes(sign));
  const decimalComma = (separator === ";" || separator === "\t") && has(",") && !has(".");
  const trailing = separator !== null && lines.every((line) => !line.trim() || endsWith(line, separator));
  return { separator, decimalComma, trailing };
}

/** Cells of a line, without blanks and quotes around them. */
export function cellsOf(line, dialect) {
  let text = line.replace(/^[\r\n ]+|[\r\n ]+$/g, "");
  const { separator } = dialect;
  if (dialect.trailing && text.endsWith(separator)) text = text.slice(0, -1);
  if (separator === null) return text.split(/\s+/).filter(Boolean).map(unquoted);
  return (text.includes('"') ? splitQuoted(text, separator) : text.split(separator)).map(unquoted);
}

const unquoted = (cell) =>
  cell
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim();

function splitQuoted(text, separator) {
  const cells = [];
  let cell = "";
  let quoted = false;
  for (const sign of text) {
    if (sign === '"') quoted = !quoted;
    if (sign === separator && !quoted) {
      cells.push(cell);
      cell = "";
    } else cell += sign;
  }
  return [...cells, cell];
}

const dotted = (text, dialect) => (dialect.decimalComma ? text.replaceAll(",", ".") : text);

/** Column names if most cells of the line are text, else null. */
export function headerOf(line, dialect) {
  const cells = cellsOf(line, dialect);
  const texts = cells.filter((cell) => !EMPTY.has(cell.toLowerCase()) && !isNumber(dotted(cell, dialect)));
  return 2 * texts.length > cells.length ? cells : null;
}

/** Columns of numbers, one Float64Array each, NaN where a cell is empty. `firstRow` is the row's number in the file. */
export function tableOf(lines, firstRow, dialect, nColumns, name) {
  if (!lines.length) throw new ReadError(`${name}: the file has a header but no rows of numbers.`);
  const width = nColumns ?? cellsOf(lines[0], dialect).length;
  if (width > MOST_COLUMNS) {
    throw new ReadError(
      `${name}: ${width} columns; a table has one column per lead and one row per sample, ` +
        "so this one may be transposed.",
    );
  }
  const columns = Array.from({ length: width }, () => new Float64Array(lines.length));
  lines.forEach((line, row) => {
    const cells = cellsOf(line, dialect);
    if (cells.length !== width) {
      throw new ReadError(
        `${name}: row ${firstRow + row} has ${cells.length} columns, the rows before it have ${width}.`,
      );
    }
    cells.forEach((cell, k) => (columns[k][row] = valueOf(cell, dialect, firstRow + row, k + 1, name)));
  });
  return columns;
}

function valueOf(cell, dialect, row, column, name) {
  const text = dotted(cell, dialect);
  const value = NUMBER.test(text) ? Number(text) : NaN;
  if (Number.isFinite(value)) return value;
  if (EMPTY.has(cell.toLowerCase())) return NaN;
  throw new ReadError(`${name}: row ${row}, column ${column}: '${cell.slice(0, 40)}' is not a number.`);
}
