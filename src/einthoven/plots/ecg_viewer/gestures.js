// Fingers, mouse, wheel and keys on the drawing.

import { moved } from "./calipers.js";
import { voltageAt } from "./data.js";
import { placeOf, secondsAt, slotAt } from "./plan.js";

const [STEP, CLICK] = [40, 4]; // pixels

/** Listen on the stage. */
export function listen(stage, figure) {
  const touching = new Map();
  let drag = null;
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    touching.set(event.pointerId, place(event));
    stage.setPointerCapture(event.pointerId);
    drag = touching.size === 1 ? begin(figure, event, place(event)) : null;
  });
  stage.addEventListener("pointermove", (event) => {
    const now = place(event);
    if (!touching.has(event.pointerId)) return point(figure, now);
    const before = touching.get(event.pointerId);
    if (touching.size === 2) pinch(figure, touching, event.pointerId, now);
    touching.set(event.pointerId, now);
    if (drag) drag(now, before);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      touching.delete(event.pointerId);
      drag = null;
    });
  }
  stage.addEventListener("pointerleave", () => !figure.cursor?.byKey && figure.setCursor(null));
  stage.addEventListener("wheel", (event) => wheel(stage, figure, event, place(event)), { passive: false });
  stage.addEventListener("keydown", (event) => keys(stage, figure, event));
}

// What dragging does: move a mark, draw new ones, or move the sheet.
function begin(figure, event, at) {
  const handle = event.target.closest("[role=slider]");
  if (handle) {
    handle.focus();
    return (now) => dragMark(figure, Number(handle.dataset.mark), now);
  }
  const slot = figure.measuring ? slotAt(figure.plan, figure.view.mmX(at.x), figure.view.mmY(at.y)) : null;
  if (!slot) return (now, before) => figure.pan(now.x - before.x, now.y - before.y);
  const first = spot(figure, slot, at);
  return (now) => {
    if (Math.hypot(now.x - at.x, now.y - at.y) >= CLICK) figure.setMarks(slot, [first, spot(figure, slot, now)]);
  };
}

const spot = ({ view, how }, slot, { x, y }) => ({
  seconds: secondsAt(slot, view.mmX(x), how.speed),
  volts: (slot.zero - view.mmY(y)) / how.gain,
});

function dragMark(figure, k, now) {
  const { slot } = figure.marks;
  const marks = [...figure.marks];
  marks[k] = spot(figure, slot, now);
  figure.setMarks(slot, marks);
}

function pinch(figure, touching, moving, now) {
  const [other] = [...touching].filter(([id]) => id !== moving).map(([, at]) => at);
  const before = touching.get(moving);
  const apart = (a) => Math.max(10, Math.hypot(a.x - other.x, a.y - other.y));
  figure.zoom(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  figure.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
}

// Without Ctrl, and before the drawing was chosen, the wheel belongs to the page.
function wheel(stage, figure, event, { x, y }) {
  const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
  const chosen = stage.contains(document.activeElement);
  if (!sideways && !event.ctrlKey && !event.metaKey && !chosen) return;
  event.preventDefault();
  if (sideways) figure.pan(-(event.deltaX || event.deltaY), 0);
  else figure.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), x, y);
}

function point(figure, at) {
  if (!figure.reading) return;
  const [x, y] = [figure.view.mmX(at.x), figure.view.mmY(at.y)];
  const slot = slotAt(figure.plan, x, y);
  figure.setCursor(slot && cursorAt(figure, slot, secondsAt(slot, x, figure.how.speed)));
}

/** A cursor on the sample nearest to a time. */
function cursorAt({ record }, slot, time, byKey = false) {
  const k = Math.round(Math.max(slot.from, Math.min(slot.to - 1 / record.fs, time)) * record.fs);
  return { slot, seconds: k / record.fs, volts: voltageAt(record, slot.lead, k / record.fs), byKey };
}

const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const ACTIONS = {
  "+": (figure) => figure.zoom(1.25),
  "=": (figure) => figure.zoom(1.25),
  "-": (figure) => figure.zoom(0.8),
  0: (figure) => figure.fit(),
  1: (figure) => figure.trueSize(),
  c: (figure) => figure.setMeasuring(!figure.measuring),
  v: (figure) => figure.setReading(!figure.reading),
  PageDown: (figure) => figure.page(1),
  PageUp: (figure) => figure.page(-1),
  Home: (figure) => figure.moveTo(0),
  End: (figure) => figure.moveTo(Infinity),
  Escape: (figure) => (figure.measuring ? figure.setMeasuring(false) : figure.change({ enlarged: null })),
};

function keys(stage, figure, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const handle = event.target.closest("[role=slider]");
  const onMark = handle !== null && figure.marks !== null;
  const done = onMark ? keyOnMark(figure, Number(handle.dataset.mark), event) : keyOnSheet(figure, event);
  if (done) event.preventDefault();
}

function keyOnMark(figure, k, event) {
  const mark = moved(figure.marks[k], event, figure.record.fs, figure.marks.slot);
  if (mark) figure.moveMark(k, mark);
  return mark ? true : keyOnSheet(figure, event);
}

function keyOnSheet(figure, event) {
  const arrow = ARROWS[event.key];
  if (arrow && figure.reading) stepCursor(figure, arrow, event.shiftKey);
  else if (arrow) figure.pan(...arrow.map((way) => way * STEP * (event.shiftKey ? 5 : 1)));
  else if (ACTIONS[event.key] && !(event.target.closest("button") && event.key.length > 6)) ACTIONS[event.key](figure);
  else return false;
  return true;
}

// Left and right go from sample to sample, up and down from row to row.
function stepCursor(figure, [across, up], far) {
  const { plan, record, view, how } = figure;
  if (!plan.slots.length) return;
  const middle = () => secondsAt(plan.slots[0], view.mmX(view.width / 2), how.speed);
  const old = figure.cursor ?? cursorAt(figure, plan.slots[0], middle());
  const time = old.seconds - (across * (far ? 10 : 1)) / record.fs;
  const x = placeOf(old.slot, old.seconds, how.speed);
  const column = plan.slots.filter((slot) => x >= slot.left - 0.01 && x <= slot.right);
  const at = column.findIndex((slot) => slot.zero === old.slot.zero);
  const slot = up ? (column[at - up] ?? old.slot) : old.slot;
  figure.setCursor(cursorAt(figure, slot, up ? secondsAt(slot, x, how.speed) : time, true));
}
