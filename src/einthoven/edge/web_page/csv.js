// ECGs as text tables: one column per lead, one row per sample, with or without a header and a time column.
// What the table does not say (rate, unit) is stated by the user, or measured and reported.

import { cellsOf, detectDialect, headerOf, splitText, tableOf } from "./csv_cells.js";
import { describeColumns, rateFromTime } from "./csv_columns.js";
import { ReadError } from "./errors.js";
import { canonicalLead, isKnownLead, TWELVE_LEADS } from "./leads.js";
import { general, median, percentileOfSorted, sortedFinite } from "./numbers.js";
import { agreedRate } from "./stated.js";
import { perMillivolt, UNITS } from "./units.js";

const USUAL_RATES = [100, 250, 500, 1000];
// A surface ECG spans 0.5 to 5 mV, 500 to 5000 in microvolts; what lies between may be a converter's counts.
const MILLIVOLT_SPAN = 15;
const MICROVOLT_SPAN = 250;
const LARGEST_SPAN = 50000;
const SMALLEST_SPAN = 0.02;

/**
 * Read a text table.
 * @param {string} name of the file.
 * @param {Uint8Array} bytes its content.
 * @param {{fs?: number, unit?: string, leads?: string[]}} stated what the user states; unit and leads go before the file.
 */
export function readCsv(name, bytes, stated = {}) {
  const rows = splitText(bytes, name);
  if (!rows.length) throw new ReadError(`${name}: the file is empty.`);
  let first = rows.findIndex((row) => row.trim() && !row.startsWith("#"));
  if (first < 0) throw new ReadError(`${name}: the file has no rows of numbers.`);
  const dialect = detectDialect(rows.slice(first));
  const header = headerOf(rows[first], dialect);
  const cells = cellsOf(rows[first], dialect);
  const numbered = cells.length > 2 && cells.every((cell, k) => cell === String(k)); // pandas' unnamed columns
  if (header || numbered) first += 1;
  const values = tableOf(rows.slice(first), first + 1, dialect, header?.length ?? null, name);
  const record = recordOf(name, values, header, first + 1, stated, dialect);
  if (numbered) record.notes.push("The first row numbers the columns and was left out.");
  return record;
}

function recordOf(name, values, header, firstRow, stated, dialect) {
  const columns = describeColumns(header, values);
  const lead = columns.map((column, k) => k).filter((k) => columns[k].role === "lead");
  const notes = dialect.decimalComma ? ["Commas were read as decimal points."] : [];
  columns.forEach((column, k) => {
    if (column.role === "index") notes.push(`Column ${k + 1} counts the samples and was left out.`);
  });
  const time = columns.findIndex((column) => column.role === "time");
  const measured = time < 0 ? null : rateFromTime(values[time], columns[time], firstRow, name);
  const fs = rateOf(measured, stated, values[0].length, name, notes);
  const leads = namesOf(
    lead.map((k) => columns[k]),
    header !== null,
    stated,
    name,
  );
  const units = lead.map((k) => columns[k].unit);
  const [scales, unit] = scalesOf(
    lead.map((k) => values[k]),
    units,
    stated,
    name,
    notes,
  );
  const signal = lead.map((k, row) => Float32Array.from(values[k], (value) => value / scales[row]));
  if (signal.some((row) => row.some((value) => Math.abs(value) === Infinity))) {
    throw new ReadError(`${name}: the table has values too large for a signal in millivolts.`, "unit");
  }
  return {
    format: "CSV",
    recordId: name.replace(/\.[^.]*$/, ""),
    signal,
    fs,
    leads,
    unit,
    age: null,
    sex: null,
    notes,
  };
}

function rateOf(measured, stated, nRows, name, notes) {
  const fs = agreedRate(measured, stated, name, "the time column");
  if (fs !== null) {
    if (!stated.fs) notes.push(`The rate of ${general(fs)} Hz was computed from the time column.`);
    return fs;
  }
  const likely = USUAL_RATES.find((fs) => nRows === 10 * fs);
  const hint = likely ? ` (${nRows} rows would be 10 s at ${likely} Hz)` : "";
  throw new ReadError(
    `${name}: the table has no time column, so its sampling rate must be stated${hint}: enter it as “Rate”.`,
    "fs",
  );
}

function namesOf(columns, isNamed, stated, name) {
  if (stated.leads) {
    if (stated.leads.length === columns.length) return distinct(stated.leads.map(canonicalLead), name);
    throw new ReadError(
      `${name}: ${stated.leads.length} lead names were stated for ${columns.length} columns of signal.`,
      "leads",
    );
  }
  if (!isNamed) {
    if (columns.length === 12) return [...TWELVE_LEADS];
    throw new ReadError(
      `${name}: ${columns.length} columns without names; 12 are taken as ${TWELVE_LEADS.join(", ")}, for any other ` +
        "number give a header line or state the leads.",
      "leads",
    );
  }
  const odd = columns.find((column) => !isKnownLead(column.name));
  if (odd) {
    throw new ReadError(
      `${name}: column '${odd.name}' is no known lead; rename or remove it, or state the leads.`,
      "leads",
    );
  }
  if (!columns.length) throw new ReadError(`${name}: the table has no column of signal.`);
  return distinct(
    columns.map((column) => canonicalLead(column.name)),
    name,
  );
}

function distinct(leads, name) {
  const twice = leads.find((lead, k) => leads.indexOf(lead) !== k);
  if (twice) throw new ReadError(`${name}: lead names repeat: ${twice}.`, "leads");
  return leads;
}

// How many of each column's unit make one millivolt, and where the unit comes from, in words.
function scalesOf(columns, units, stated, name, notes) {
  if (stated.unit) return [units.map(() => UNITS[stated.unit]), `${stated.unit}, as stated`];
  if (units.some(Boolean)) {
    return [units.map((unit) => columnScale(unit, name)), `${[...new Set(units)].join(", ")}, from the header`];
  }
  const unit = detectedUnit(columns, name, notes);
  return [units.map(() => UNITS[unit]), `${unit}, from the amplitudes`];
}

function columnScale(unit, name) {
  const scale = perMillivolt(unit);
  if (scale !== null) return scale;
  const got = unit ? `the unit '${unit}'` : "no unit in some columns";
  throw new ReadError(
    `${name}: the header gives ${got}; give every column mV, uV, nV or V, or state the unit.`,
    "unit",
  );
}

// Millivolts or microvolts, by the median over leads of the span between the 0.1 and 99.9 percentiles.
function detectedUnit(columns, name, notes) {
  const sorted = columns.map(sortedFinite).filter((column) => column.length);
  const spans = sorted.map((column) => percentileOfSorted(column, 99.9) - percentileOfSorted(column, 0.1));
  const span = spans.length ? median(spans) : 0;
  if (span > LARGEST_SPAN || (span > MILLIVOLT_SPAN && span < MICROVOLT_SPAN)) {
    const what = span > LARGEST_SPAN ? "millivolts or microvolts" : "millivolts and too little for microvolts";
    throw new ReadError(
      `${name}: the leads span ${span.toFixed(0)} units, too much for ${what}; state the unit, or convert the values ` +
        "to millivolts first.",
      "unit",
    );
  }
  if (span >= MICROVOLT_SPAN) {
    notes.push(`No unit is given; the leads span ${span.toFixed(0)}, so the values were taken as microvolts.`);
    return "uV";
  }
  const doubt = span < SMALLEST_SPAN ? "; that is little, so state the unit if it is another" : "";
  notes.push(`No unit is given; the leads span ${general(span, 3)}, so the values were taken as millivolts${doubt}.`);
  return "mV";
}
