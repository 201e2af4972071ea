// The sheet on a canvas: only what is seen is drawn.

import { wordsOf } from "./calipers.js";
import { colourOf } from "./colours.js";
import { MISSING } from "./data.js";
import { placeOf } from "./plan.js";

const INK = "#14142b";
const [PAPER, FINE, COARSE, MEASURE] = ["#fffafa", "#f7dede", "#e9a9a9", "#0b4f8a"];
const BAND_MM = 5;

/** Draw everything; `scene` has record, plan, view, how, overlay, marks (with their slot) and cursor, or null. */
export function drawScene(context, scene, ratio) {
  const { view, plan, how, overlay, marks, cursor } = scene;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = PAPER;
  context.fillRect(0, 0, view.width, view.height);
  drawGrid(context, view, ratio);
  const seen = plan.slots.filter((slot) => view.toX(slot.right) > 0 && view.toX(slot.left) < view.width);
  if (overlay) seen.forEach((slot) => drawBand(context, scene, slot));
  context.lineJoin = "round";
  plan.zeros.forEach((zero) => drawPulse(context, view, plan.pulse, zero, how.gain));
  seen.forEach((slot) => drawTrace(context, scene, slot));
  drawTimes(context, scene);
  if (cursor) drawCursor(context, scene);
  if (marks) drawMarks(context, scene);
}

// One device pixel wide and on the pixel, so that no line is blurred and all are alike.
function drawGrid(context, view, ratio) {
  const wide = Math.max(1, Math.round(ratio));
  for (const [step, colour, least] of [
    [1, FINE, 2.5],
    [5, COARSE, 0.8],
  ]) {
    if (view.scale < least) continue;
    context.fillStyle = colour;
    const width = (step === 5 && view.scale > 3 ? 1.5 : 1) * wide;
    for (let k = Math.ceil(view.x / step); k * step <= view.mmX(view.width); k++) {
      context.fillRect(Math.round(view.toX(k * step) * ratio) / ratio, 0, Math.round(width) / ratio, view.height);
    }
    for (let k = Math.ceil(view.y / step); k * step <= view.mmY(view.height); k++) {
      context.fillRect(0, Math.round(view.toY(k * step) * ratio) / ratio, view.width, Math.round(width) / ratio);
    }
  }
}

function lineWidth(view) {
  return Math.min(2.2, Math.max(1, 0.28 * view.scale));
}

function drawPulse(context, view, left, zero, gain) {
  context.beginPath();
  const x = [0, 1.5, 1.5, 6.5, 6.5, 8];
  [0, 0, gain, gain, 0, 0].forEach((up, k) => context.lineTo(view.toX(left + x[k]), view.toY(zero - up)));
  stroke(context, INK, lineWidth(view));
}

function stroke(context, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

/** First and last sample of a slot that are seen, one more on either side. */
function samplesSeen({ record, view, how }, slot) {
  const secondsOf = (px) => slot.from + (view.mmX(px) - slot.left) / how.speed;
  const first = Math.max(Math.round(slot.from * record.fs), Math.floor(secondsOf(0) * record.fs) - 1);
  const last = Math.min(Math.round(slot.to * record.fs), Math.ceil(secondsOf(view.width) * record.fs) + 1);
  return [Math.max(0, first), Math.min(record.n, last)];
}

function drawTrace(context, scene, slot) {
  const { record, view, how } = scene;
  const row = record.rows[slot.lead];
  const [first, end] = samplesSeen(scene, slot);
  const xOf = (k) => view.toX(slot.left + (k / record.fs - slot.from) * how.speed);
  const yOf = (value) => view.toY(slot.zero - value * record.step * how.gain);
  const perPixel = record.fs / (how.speed * view.scale);
  context.beginPath();
  if (perPixel > 2) envelope(context, row, first, end, Math.floor(perPixel), xOf, yOf);
  else polyline(context, row, first, end, xOf, yOf);
  stroke(context, INK, lineWidth(view));
  if (!slot.first) {
    context.beginPath();
    context.moveTo(view.toX(slot.left), view.toY(slot.zero - 5));
    context.lineTo(view.toX(slot.left), view.toY(slot.zero + 5));
    stroke(context, INK, 1);
  }
}

function polyline(context, row, first, end, xOf, yOf) {
  let pen = false;
  for (let k = first; k < end; k++) {
    if (row[k] === MISSING)
      pen = false; // a gap stays a gap
    else if (pen) context.lineTo(xOf(k), yOf(row[k]));
    else {
      context.moveTo(xOf(k), yOf(row[k]));
      pen = true;
    }
  }
}

// Where many samples share a pixel, their least and their greatest: no spike is lost.
function envelope(context, row, first, end, size, xOf, yOf) {
  let pen = false;
  for (let k = first - (first % size); k < end; k += size) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = Math.max(first, k); i < Math.min(end, k + size); i++) {
      if (row[i] === MISSING) continue;
      if (row[i] < low) low = row[i];
      if (row[i] > high) high = row[i];
    }
    if (low > high) {
      pen = false;
      continue;
    }
    if (pen) context.lineTo(xOf(k), yOf(high));
    else context.moveTo(xOf(k), yOf(high));
    context.lineTo(xOf(k), yOf(low));
    pen = true;
  }
}

// Colour behind the trace, upright at every sample, so that it follows steep and flat parts alike.
function drawBand(context, scene, slot) {
  const { record, view, how, overlay } = scene;
  const [row, means] = [record.rows[slot.lead], overlay.means[slot.lead]];
  const { low, high } = overlay.reach[slot.lead];
  const yOf = (value) => view.toY(slot.zero - value * record.step * how.gain);
  const [first, end] = samplesSeen(scene, slot);
  const width = (how.speed * view.scale) / record.fs;
  const size = Math.max(1, Math.round(1 / width));
  const half = (BAND_MM / 2) * view.scale;
  for (let k = first; k + 1 < end; k += size) {
    const colour = colourOf(means[k] / overlay.full, overlay.normal);
    const stop = Math.min(k + size, end - 1);
    if (!colour || row[k] === MISSING || row[stop] === MISSING) continue;
    const top = yOf(Math.max(high[k], high[stop])) - half;
    const bottom = yOf(Math.min(low[k], low[stop])) + half;
    context.fillStyle = colour;
    const left = view.toX(placeOf(slot, k / record.fs, how.speed));
    context.fillRect(left, top, width * (stop - k) + 0.3, bottom - top);
  }
}

// Seconds along the lower edge, where one time belongs to one place.
function drawTimes(context, { plan, view, how }) {
  if (plan.columns > 1 || !plan.slots.length) return;
  const [slot] = plan.slots;
  const step = [0.2, 0.5, 1, 2, 5, 10].find((s) => s * how.speed * view.scale >= 60) ?? 20;
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  const first = Math.max(slot.from, slot.from + (view.mmX(0) - slot.left) / how.speed);
  for (let k = Math.ceil(first / step); k * step <= slot.to; k++) {
    const x = view.toX(placeOf(slot, k * step, how.speed));
    if (x > view.width) break;
    context.fillStyle = INK;
    context.fillRect(x - 0.5, view.height - 6, 1, 6);
    haloed(context, `${Number((k * step).toFixed(1))} s`, x, view.height - 10);
  }
}

function haloed(context, text, x, y) {
  context.lineWidth = 4;
  context.strokeStyle = PAPER;
  context.strokeText(text, x, y);
  context.fillStyle = INK;
  context.fillText(text, x, y);
}

function drawCursor(context, { view, how, cursor }) {
  const x = view.toX(placeOf(cursor.slot, cursor.seconds, how.speed));
  const { zero, height } = cursor.slot;
  context.fillStyle = "rgba(11, 79, 138, 0.6)";
  context.fillRect(Math.round(x), view.toY(zero - height / 2), 1, height * view.scale);
  if (cursor.volts === null) return;
  context.beginPath();
  context.arc(x, view.toY(zero - cursor.volts * how.gain), 4, 0, 2 * Math.PI);
  context.fillStyle = MEASURE;
  context.fill();
}

function drawMarks(context, { view, how, marks, record }) {
  const { slot } = marks;
  const x = marks.map((mark) => view.toX(placeOf(slot, mark.seconds, how.speed)));
  const y = marks.map((mark) => view.toY(slot.zero - mark.volts * how.gain));
  const top = Math.min(view.toY(slot.zero - slot.height / 2), ...y) - 8;
  const bottom = Math.max(view.toY(slot.zero + slot.height / 2), ...y) + 8;
  context.fillStyle = "rgba(11, 79, 138, 0.10)";
  context.fillRect(Math.min(...x), top, Math.abs(x[1] - x[0]), bottom - top);
  context.fillStyle = MEASURE;
  for (const each of x) context.fillRect(Math.round(each) - 0.75, top, 1.5, bottom - top);
  for (const each of y) {
    context.fillRect(Math.min(...x) - 6, Math.round(each) - 0.5, Math.abs(x[1] - x[0]) + 12, 1);
  }
  drawLabel(context, wordsOf(marks, record.unit), (x[0] + x[1]) / 2, top, view);
}

function drawLabel(context, text, middle, top, view) {
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  const half = context.measureText(text).width / 2 + 8;
  const x = Math.min(view.width - half - 2, Math.max(half + 2, middle));
  const y = Math.max(24, top - 4);
  context.fillStyle = MEASURE;
  context.beginPath();
  context.roundRect(x - half, y - 20, 2 * half, 24, 4);
  context.fill();
  context.fillStyle = "#ffffff";
  context.fillText(text, x, y - 3);
}
