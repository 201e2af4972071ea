// What stands around the drawing: choices above it, position and read-outs below.

import { wordsOf } from "./calipers.js";
import { rampOf } from "./colours.js";
import { attributionAt, openOverlay } from "./data.js";
import { fixed, make, signed } from "./elements.js";
import { GAINS, SPEEDS } from "./figure.js";
import { layoutsOf } from "./plan.js";

const KEYS = [
  ["Arrows", "move the sheet, a mark of the calipers (one sample, 0.01 mV) or the cursor of the values"],
  ["Shift and arrows", "the same in larger steps"],
  ["+  \u2212  0  1", "zoom in, out, fit, true size; the wheel zooms with Ctrl, or after a click on the drawing"],
  ["Page up, down, Home, End", "move in time"],
  ["C", "calipers: drag on the drawing, or move both marks by keys"],
  ["V", "values at the cursor"],
  ["Escape", "leave calipers or the enlarged lead"],
];

function chooser(label, options, value, choose) {
  const items = options.map(([key, text]) => make("option", { value: key, selected: key === value }, text));
  const select = make("select", { onchange: (event) => choose(event.target.value) }, ...items);
  return make("label", { class: "ecg-choice" }, make("span", {}, label), select);
}

function button(text, name, press, pressed = null) {
  const said = { "aria-label": name, title: name, "aria-pressed": pressed };
  return make("button", { type: "button", ...said, onclick: press }, text);
}

const worded = (numbers, unit) => numbers.map((number) => [String(number), `${number} ${unit}`]);

/** The bar above the drawing. */
export function toolbar(figure, carried) {
  const { record, how } = figure;
  const change =
    (name, read = Number) =>
    (value) =>
      figure.change({ [name]: read(value) });
  const spaced = (name) =>
    name === "12x1" ? `${record.leads.length} x 1` : name.replace("x", " x ").replace("+", " + ");
  const layouts = layoutsOf(record).map((name) => [name, spaced(name)]);
  const layout = chooser("Layout", layouts, how.layout, (value) => figure.change({ layout: value, enlarged: null }));
  const zoom = make(
    "div",
    { class: "ecg-buttons", role: "group", "aria-label": "Zoom" },
    button("\u2212", "Zoom out", () => figure.zoom(0.8)),
    button("+", "Zoom in", () => figure.zoom(1.25)),
    button("Fit", "Fit the sheet", () => figure.fit()),
    button("1:1", "1:1, true size", () => figure.trueSize()),
  );
  const calipers = button("Calipers", "Calipers", () => figure.setMeasuring(!figure.measuring), "false");
  const values = button("Values", "Values at the cursor", () => figure.setReading(!figure.reading), "false");
  figure.onDrawn(() => {
    calipers.setAttribute("aria-pressed", String(figure.measuring));
    values.setAttribute("aria-pressed", String(figure.reading));
  });
  return make(
    "div",
    { class: "ecg-bar" },
    layouts.length > 1 ? layout : null,
    chooser("Speed", worded(SPEEDS, "mm/s"), "25", change("speed")),
    chooser("Gain", worded(GAINS, `mm/${record.unit}`), "10", change("gain")),
    zoom,
    make("div", { class: "ecg-buttons", role: "group", "aria-label": "Measure" }, calipers, values),
    carried.overlays.length ? overlayChooser(figure, carried) : null,
    leadSwitches(figure),
    keyTable(),
  );
}

function overlayChooser(figure, carried) {
  const opened = new Map();
  const options = [["", "none"], ...carried.overlays.map(({ name }, k) => [String(k), name])];
  const choose = async (value) => {
    if (value && !opened.has(value)) opened.set(value, await openOverlay(carried.overlays[value], figure.record));
    figure.overlay = value ? opened.get(value) : null;
    figure.redraw();
  };
  const start = carried.shown === null ? "" : String(carried.shown);
  choose(start);
  return chooser("Explanation", options, start, choose);
}

function leadSwitches(figure) {
  const buttons = figure.record.leads.map((lead, k) =>
    make("button", { type: "button", "aria-pressed": "true", onclick: () => figure.toggleLead(k) }, lead),
  );
  figure.onDrawn(() => {
    buttons.forEach((one, k) => one.setAttribute("aria-pressed", String(!figure.how.hidden.has(k))));
  });
  return make(
    "details",
    { class: "ecg-more" },
    make("summary", {}, "Leads"),
    make("div", { class: "ecg-buttons ecg-leads", role: "group", "aria-label": "Leads shown" }, ...buttons),
  );
}

function keyTable() {
  const rows = KEYS.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)]);
  return make("details", { class: "ecg-more" }, make("summary", {}, "Keys"), make("dl", {}, ...rows));
}

/** The colour bar; there while an explanation is shown. */
export function colourBar(figure, unit) {
  const ramp = make("span", { class: "ecg-ramp" });
  const [low, high] = [make("span"), make("span")];
  const bar = make(
    "div",
    { class: "ecg-colours", role: "img", hidden: true },
    make("span", { class: "ecg-scale-bar" }, "speaks against", low, ramp, high, "speaks for"),
    make("span", {}, `${unit}, mean of 50 ms`),
  );
  let drawn = null;
  figure.onDrawn(() => {
    const { overlay } = figure;
    bar.hidden = overlay === null;
    if (!overlay || drawn === overlay) return;
    drawn = overlay;
    [low.textContent, high.textContent] = [signed(-overlay.full, 2), signed(overlay.full, 2)];
    ramp.style.background = rampOf(overlay.normal);
    const label = `Colours of ${overlay.name}: blue speaks against, ${overlay.normal ? "green" : "orange"} for`;
    bar.setAttribute("aria-label", `${label}; full at ${signed(overlay.full, 2)} ${unit}`);
  });
  return bar;
}

/** Position in time; there while not everything is seen. */
export function scrubber(figure) {
  const move = () => figure.moveTo(Number(range.value));
  const range = make("input", { type: "range", "aria-label": "Position", min: "0", step: "0.1", oninput: move });
  const words = make("span", { class: "ecg-time" });
  const name = make("span", { "aria-hidden": "true" }, "Position");
  const bar = make("div", { class: "ecg-scrub", hidden: true }, name, range, words);
  figure.onDrawn(() => {
    const { first, shown, last } = figure.window();
    bar.hidden = last < 0.05;
    range.max = String(last);
    range.value = String(first);
    const text = `${first.toFixed(1)} to ${Math.min(first + shown, figure.record.duration).toFixed(1)} s`;
    words.textContent = `${text} of ${figure.record.duration.toFixed(1)} s`;
    range.setAttribute("aria-valuetext", text);
  });
  return bar;
}

/** The line below: scale, and what calipers and cursor read. */
export function readout(figure, unit) {
  const { record } = figure;
  const scale = make("span", { class: "ecg-scale" });
  const output = make("output", { class: "ecg-readout" });
  figure.onDrawn(() => {
    scale.textContent = `${figure.how.speed} mm/s, ${figure.how.gain} mm/${record.unit}, ${record.fs} Hz`;
    const text = [caliperWords(figure), cursorWords(figure, unit)].filter(Boolean).join("; ");
    if (output.textContent !== text) output.textContent = text;
  });
  return make("div", { class: "ecg-foot" }, scale, output);
}

function caliperWords({ marks, record }) {
  return marks ? `Calipers ${record.leads[marks.lead]}: ${wordsOf(marks, record.unit)}` : "";
}

function cursorWords({ reading, cursor, overlay, record }, unit) {
  if (!reading) return "";
  if (!cursor) return "Values: point at a trace, or choose the drawing and press an arrow key";
  const value = cursor.volts === null ? "not recorded" : `${fixed(cursor.volts, 3)} ${record.unit}`;
  const words = `${cursor.slot.name} at ${cursor.seconds.toFixed(3)} s: ${value}`;
  if (!overlay) return words;
  const weight = attributionAt(overlay, record, cursor.slot.lead, cursor.seconds);
  return `${words}, ${overlay.name} ${signed(weight)} ${unit}`;
}
