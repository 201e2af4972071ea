// The figure's state and what can be done with it; everything that changes goes through here and is then drawn.

import { drawScene } from "./draw.js";
import { layoutsOf, planOf, placeOf } from "./plan.js";
import { settled } from "./calipers.js";
import { View } from "./view.js";

export const SPEEDS = [12.5, 25, 50, 100]; // mm/s
export const GAINS = [2.5, 5, 10, 20, 40]; // mm/mV
const TRUE_SIZE = 96 / 25.4; // CSS pixels per millimetre

export class Figure {
  view = new View();
  measuring = false;
  reading = false;
  overlay = null;
  marks = null; // [a, b] with `lead`; `slot` follows from the plan
  cursor = null;
  listeners = [];
  #asked = false;

  constructor(record, canvas, layout) {
    [this.record, this.canvas] = [record, canvas];
    const allowed = layoutsOf(record);
    this.how = {
      layout: allowed.includes(layout) ? layout : allowed[0],
      enlarged: null,
      hidden: new Set(),
      speed: 25,
      gain: 10,
      start: 0,
    };
    this.plan = planOf(record, this.how);
  }

  /** Be told after every drawing. */
  onDrawn(listener) {
    this.listeners.push(listener);
  }

  redraw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      drawScene(this.canvas.getContext("2d"), this, this.canvas.width / this.view.width);
      this.listeners.forEach((listener) => listener(this));
    });
  }

  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    this.view.resize(width, height, this.plan);
    this.redraw();
  }

  /** Change layout, enlarged lead, speed, gain or start; a new form is fitted, a new scale keeps the time. */
  change(changes) {
    const seen = this.window().first + this.window().shown / 2;
    const one = this.plan.columns === 1;
    Object.assign(this.how, changes);
    this.plan = planOf(this.record, this.how);
    this.#placeMarks();
    this.cursor = null;
    if (this.view.fitted || "layout" in changes || "enlarged" in changes) this.view.fit(this.plan);
    if (one && this.plan.columns === 1) this.moveTo(seen - this.window().shown / 2);
    this.view.clamp(this.plan);
    this.redraw();
  }

  toggleLead(k) {
    const hidden = new Set(this.how.hidden);
    if (!hidden.delete(k) && hidden.size < this.record.leads.length - 1) hidden.add(k);
    this.change({ hidden });
  }

  /** Show one lead alone from where its slot begins, or all again. */
  enlarge(slot) {
    const { columns } = this.plan;
    this.change({ enlarged: this.how.enlarged === null ? slot.lead : null });
    if (columns > 1) this.moveTo(slot.from);
  }

  fit() {
    this.view.fit(this.plan);
    this.redraw();
  }

  trueSize() {
    this.zoom(TRUE_SIZE / this.view.scale);
  }

  zoom(factor, px = this.view.width / 2, py = this.view.height / 2) {
    this.view.zoom(factor, px, py, this.plan);
    this.redraw();
  }

  pan(dx, dy) {
    this.view.pan(dx, dy, this.plan);
    this.redraw();
  }

  /** First second that is seen, how many are, and the last that can be the first. */
  window() {
    const { plan, record, view, how } = this;
    if (plan.columns > 1) return { first: plan.start, shown: plan.seconds, last: record.duration - plan.seconds };
    const seconds = (mm) => Math.max(0, Math.min(record.duration, (mm - plan.left) / how.speed));
    const [first, end] = [seconds(view.x), seconds(view.mmX(view.width))];
    return { first, shown: end - first, last: seconds(plan.width - view.width / view.scale) };
  }

  moveTo(seconds) {
    const start = Math.max(0, Math.min(seconds, this.window().last));
    if (this.plan.columns > 1) return this.change({ start });
    this.view.x = start > 0 ? this.plan.left + start * this.how.speed : 0;
    this.view.clamp(this.plan);
    return this.redraw();
  }

  page(direction) {
    const { first, shown } = this.window();
    this.moveTo(first + direction * shown * (this.plan.columns > 1 ? 1 : 0.9));
  }

  // Measuring

  setMeasuring(on) {
    this.measuring = on;
    if (!on) this.marks = null;
    else if (!this.marks) this.#firstMarks();
    this.redraw();
  }

  // In the middle of what is seen, 800 ms apart, so that a keyboard has something to move.
  #firstMarks() {
    const [x, y] = [this.view.mmX(this.view.width / 2), this.view.mmY(this.view.height / 2)];
    const far = (slot) => Math.abs(slot.zero - y) + (x < slot.left || x > slot.right ? 1000 : 0);
    if (!this.plan.slots.length) return;
    const slot = this.plan.slots.reduce((best, each) => (far(each) < far(best) ? each : best));
    const within = (time) => Math.max(slot.from + 0.4, Math.min(slot.to - 0.4, time));
    const middle = within(slot.from + (x - slot.left) / this.how.speed);
    this.setMarks(
      slot,
      [-0.4, 0.4].map((apart) => ({ seconds: middle + apart, volts: 0 })),
    );
  }

  setReading(on) {
    this.reading = on;
    if (!on) this.cursor = null;
    this.redraw();
  }

  setMarks(slot, marks) {
    this.marks = Object.assign(
      marks.map((mark) => settled(mark, slot)),
      { lead: slot.lead, slot },
    );
    this.redraw();
  }

  moveMark(k, mark) {
    Object.assign(this.marks[k], mark);
    this.#reveal(placeOf(this.marks.slot, mark.seconds, this.how.speed), this.marks.slot.zero);
    this.redraw();
  }

  #placeMarks() {
    if (!this.marks) return;
    const holds = (slot) =>
      slot.lead === this.marks.lead && this.marks.every(({ seconds }) => seconds >= slot.from && seconds <= slot.to);
    const slot = this.plan.slots.find(holds);
    if (slot) this.marks.slot = slot;
    else this.marks = null;
    if (!this.marks) this.measuring = false;
  }

  setCursor(cursor) {
    this.cursor = cursor;
    if (cursor?.byKey) this.#reveal(placeOf(cursor.slot, cursor.seconds, this.how.speed), cursor.slot.zero);
    this.redraw();
  }

  revealSlot(slot) {
    this.#reveal(Math.max(slot.left, Math.min(slot.right, this.view.mmX(20))), slot.zero);
    this.redraw();
  }

  /** Pan as little as brings a place of the sheet into sight. */
  #reveal(x, y) {
    const { view } = this;
    const into = (place, size) => Math.max(0, 40 - place) + Math.min(0, size - 40 - place);
    view.pan(into(view.toX(x), view.width), into(view.toY(y), view.height), this.plan);
  }
}
