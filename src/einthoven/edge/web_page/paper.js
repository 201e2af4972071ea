// An ECG on paper: 25 mm per second, 10 mm per millivolt, one unit of the drawing is one millimetre.

import { svg } from "./elements.js";
import { TWELVE_LEADS } from "./leads.js";
import { general } from "./numbers.js";

const [SPEED, GAIN] = [25, 10]; // mm/s, mm/mV
const [MARGIN, PULSE, TOP, BOTTOM] = [5, 10, 15, 5]; // mm
const MOST_S = 10;
const MOST_POINTS_PER_S = 500;

/** Seconds of a record that fit on one sheet. */
export const sheetSeconds = (record) => Math.min(MOST_S, record.signal[0].length / record.fs);

// Rows of [lead, first column, columns wide]; the twelve go column by column, as electrocardiographs print them.
function planOf(record, narrow) {
  const complete = TWELVE_LEADS.every((lead) => record.leads.includes(lead));
  if (narrow || !complete) return { rows: record.leads.map((lead) => [[lead, 0, 1]]), columns: 1, height: 20 };
  const rows = [0, 1, 2].map((row) => [0, 1, 2, 3].map((column) => [TWELVE_LEADS[3 * column + row], column, 1]));
  return { rows: [...rows, [["II", 0, 4]]], columns: 4, height: 30 };
}

/**
 * Draw a record.
 * @param {object} record as the readers make it.
 * @param {{narrow: boolean, start: number}} how one lead under the other for narrow screens, and the first second.
 * @returns {SVGElement}
 */
export function drawPaper(record, { narrow, start }) {
  const plan = planOf(record, narrow);
  const seconds = sheetSeconds(record);
  const width = 2 * MARGIN + PULSE + 5 * Math.ceil((seconds * SPEED) / 5);
  const height = TOP + plan.rows.length * plan.height + BOTTOM;
  const part = `${general(start)} to ${general(start + seconds, 4)} seconds`;
  const label = `ECG of ${record.recordId}: ${record.leads.join(", ")}; ${part}`;
  const sheet = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width: `${width}mm`,
    height: `${height}mm`,
    role: "img",
    "aria-label": label,
  });
  sheet.append(
    svg("rect", { class: "sheet", width, height }),
    svg("path", { class: "fine", d: gridPath(width, height, 1) }),
    svg("path", { class: "coarse", d: gridPath(width, height, 5) }),
  );
  const scale = `${SPEED} mm/s   ${GAIN} mm/mV   ${general(record.fs)} Hz`;
  const place = narrow ? { x: MARGIN, y: 10 } : { x: width - MARGIN, y: 6, "text-anchor": "end" };
  sheet.append(svg("text", { class: "heading", x: MARGIN, y: 6 }, record.recordId), svg("text", place, scale));
  plan.rows.forEach((row, r) => {
    const zero = TOP + plan.height * (r + 0.5);
    sheet.append(svg("path", { class: "trace", d: pulsePath(zero) }));
    row.forEach((slot) => sheet.append(...slotOf(record, slot, plan, zero, start, seconds)));
  });
  return sheet;
}

function gridPath(width, height, step) {
  let path = "";
  for (let x = 0; x <= width; x += step) path += `M${x} 0V${height}`;
  for (let y = 0; y <= height; y += step) path += `M0 ${y}H${width}`;
  return path;
}

function pulsePath(zero) {
  return `M${MARGIN} ${zero}h1.5v${-GAIN}h5v${GAIN}h1.5`;
}

function slotOf(record, [lead, column, span], plan, zero, start, seconds) {
  const row = record.signal[record.leads.indexOf(lead)];
  const share = seconds / plan.columns;
  const [from, to] = [start + column * share, start + (column + span) * share].map((s) => Math.round(s * record.fs));
  const xOf = (k) => MARGIN + PULSE + (k / record.fs - start) * SPEED;
  const parts = []; // names first: the trace runs over them, never under
  // On a sheet wider than the screen the name is repeated, so that one part of it is always to be read.
  const repeats = plan.columns === 1 ? Math.ceil(seconds / 2.5) : 1;
  for (let k = 0; k < repeats; k++) {
    const x = xOf(from) + 1 + k * 2.5 * SPEED;
    parts.push(svg("text", { class: k ? "lead again" : "lead", x, y: zero - plan.height * 0.28 }, lead));
  }
  if (column) parts.push(svg("path", { class: "divider", d: `M${xOf(from)} ${zero - 5}v10` }));
  return [
    ...parts,
    svg("path", { class: "trace", "data-lead": lead, d: tracePath(row, from, to, record.fs, xOf, zero) }),
  ];
}

function tracePath(row, from, to, fs, xOf, zero) {
  const step = Math.max(1, Math.floor(fs / MOST_POINTS_PER_S));
  let path = "";
  let pen = "M";
  for (let k = from; k < Math.min(to, row.length); k += step) {
    if (Number.isFinite(row[k])) {
      path += `${pen}${xOf(k).toFixed(2)} ${(zero - GAIN * row[k]).toFixed(2)}`;
      pen = "L";
    } else pen = "M"; // a gap stays a gap
  }
  return path;
}
