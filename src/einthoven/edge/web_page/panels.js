// The panels of one record: what was read, what was found, the tracing. And the panel about the model.

import { h } from "./elements.js";
import { general } from "./numbers.js";
import { drawPaper, sheetSeconds } from "./paper.js";
import { headlineOf, isNormal, shareOf, titleOf, verdictOf } from "./words.js";

const row = (term, value) => (value === null ? [] : [h("dt", {}, term), h("dd", {}, value)]);
const list = (items, className) =>
  items.length
    ? h(
        "ul",
        { class: className },
        items.map((item) => h("li", {}, item)),
      )
    : "";
const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** What was understood of the file, before any answer. */
export function readPanel({ name, record, prediction }) {
  const n = record.signal[0].length;
  const patient = [record.age === null ? "" : `${general(record.age)} years`, record.sex ?? ""]
    .filter(Boolean)
    .join(", ");
  const text = (flag) => sentence(flag.text.replace(`${record.recordId}: `, "")); // the panel names the record itself
  const refused = prediction.flags.filter((flag) => flag.refuse).map(text);
  const doubts = prediction.flags.filter((flag) => !flag.refuse).map(text);
  return h(
    "section",
    { class: "card", id: "read", "aria-labelledby": "read-title" },
    h("h2", { id: "read-title" }, "What was read"),
    refused.length
      ? h("div", { class: "box bad" }, h("strong", {}, "Not fit to be judged"), list(refused, "plain"))
      : "",
    doubts.length ? h("div", { class: "box doubt" }, h("strong", {}, "With reservations"), list(doubts, "plain")) : "",
    h(
      "dl",
      {},
      row("File", `${name} (${record.format})`),
      row("Leads", `${record.leads.length}: ${record.leads.join(", ")}`),
      row("Rate", `${general(record.fs)} Hz`),
      row("Unit", record.unit),
      row("Length", `${(n / record.fs).toFixed(1)} s, ${n.toLocaleString("en")} samples`),
      row("Patient", patient || null),
    ),
    prediction.notes.length ? [h("h3", {}, "Notes"), list(prediction.notes.map(sentence), "notes")] : [],
  );
}

/** The findings: the answer in a sentence, then every class with its probability and threshold. */
export function findingsPanel({ prediction }, about) {
  const headline = headlineOf(prediction, about);
  const abnormal = prediction.findings.filter((finding) => !isNormal(finding, about)).sort(likelierFirst);
  const normal = prediction.findings.filter((finding) => isNormal(finding, about)).sort(likelierFirst);
  const group = (title, findings) =>
    findings.length
      ? [
          h("h3", {}, title),
          h(
            "ul",
            { class: "findings" },
            findings.map((finding) => findingItem(finding, about)),
          ),
        ]
      : [];
  return h(
    "section",
    { class: "card", id: "findings", "aria-labelledby": "findings-title" },
    h("h2", { id: "findings-title" }, "Findings"),
    h("p", { class: `headline ${headline.tone}` }, headline.text),
    headline.more ? h("p", { class: "more" }, headline.more) : "",
    group("Abnormalities that the model knows", abnormal),
    group("Normal findings that the model knows", normal),
    prediction.refused
      ? ""
      : h(
          "p",
          { class: "small" },
          "Bars show the probability, the mark its threshold. The answer of a model for research, not a diagnosis.",
        ),
  );
}

const likelierFirst = (a, b) => b.probability - a.probability;

function findingItem(finding, about) {
  const verdict = verdictOf(finding, about);
  const share = shareOf(finding.probability);
  const limit = finding.threshold === null ? "" : `, threshold ${shareOf(finding.threshold)}`;
  const meter = h(
    "div",
    { class: "bar", role: "img", "aria-label": `probability ${share}${limit}` },
    h("span", { class: "fill" }),
  );
  meter.firstChild.style.width = `${100 * finding.probability}%`;
  if (finding.threshold !== null) {
    meter.append(h("span", { class: "mark" }));
    meter.lastChild.style.left = `${100 * finding.threshold}%`;
  }
  return h(
    "li",
    { class: `finding ${verdict.tone}`, "data-class": finding.class },
    h("span", { class: "name" }, titleOf(finding), finding.description ? h("abbr", {}, finding.class) : ""),
    h("span", { class: "verdict" }, verdict.word),
    meter,
    h("data", { class: "share", value: finding.probability }, share),
    h("span", { class: "why" }, verdict.more),
  );
}

/** The tracing; of records longer than a sheet, a slider chooses the part. */
export function tracingPanel({ record, prediction }, narrow) {
  const title = h("h2", { id: "tracing-title" }, "Tracing");
  const panel = (...children) =>
    h("section", { class: "card", id: "tracing", "aria-labelledby": "tracing-title" }, title, ...children);
  if (prediction.flags.some((flag) => flag.code === "wrong_unit" || flag.code === "flat")) {
    return panel(h("p", { class: "more" }, "Not drawn: the amplitudes are not an ECG's. Is the unit right?"));
  }
  const paper = h("div", { class: "paper", tabindex: "0", role: "group", "aria-label": "ECG paper, scrolls sideways" });
  const show = (start) => paper.replaceChildren(drawPaper(record, { narrow, start }));
  show(0);
  const latest = record.signal[0].length / record.fs - sheetSeconds(record);
  if (latest < 0.5) return panel(paper);
  const slider = h("input", {
    type: "range",
    min: 0,
    max: Math.floor(latest),
    step: 1,
    value: 0,
    id: "start",
    oninput: () => {
      show(Number(slider.value));
      shown.textContent = `${slider.value} s`;
    },
  });
  const shown = h("output", { for: "start" }, "0 s");
  return panel(h("p", { class: "slider" }, h("label", { for: "start" }, "Show from"), slider, shown), paper);
}

/** What the model is, where it comes from, and its limits. */
export function aboutPanel(about, { off, verified }) {
  const { spec, window, provenance } = about;
  const file = ([name, digest]) => h("li", {}, name, " ", h("code", {}, digest));
  const proof =
    "The sample ECG gave the same answer here as in Python when this page was made " +
    `(largest difference in probability ${general(off, 2)}).`;
  const hashes = verified
    ? "The files' checksums were compared when the page started."
    : "The files' checksums were not compared: browsers do that on https and localhost only.";
  return [
    h("h3", {}, "Model"),
    h(
      "dl",
      {},
      row("Name", `${about.name} (${about.precision})`),
      row(
        "Input",
        `${spec.leads.length} leads at ${general(spec.fs)} Hz${filterText(spec)}, windows of ` +
          `${general(window.length / spec.fs)} s every ${general(window.stride / spec.fs)} s, ` +
          `${window.aggregate} over windows`,
      ),
      row("Classes", about.classes.map((name) => about.descriptions[name] ?? name).join(", ")),
      row("Trained on", provenance.trained_on),
      row("Data", provenance.attribution),
      row("Licence", about.licence),
      row("Figures", about.figures && `${about.figures} Of the trained network, on records it was validated with.`),
      row("This graph", about.proof),
    ),
    about.decisions.length ? [h("h3", {}, "Decisions"), list(about.decisions, "notes")] : [],
    h("h3", {}, "Limits"),
    list(about.limits, "notes"),
    h("h3", {}, "This page"),
    list(
      [
        proof,
        hashes,
        `Made with einthoven ${about.einthoven} and ONNX Runtime Web ` +
          `${about.runtime.version} (${about.runtime.licence}).`,
      ],
      "notes",
    ),
    h(
      "details",
      {},
      h("summary", {}, "Files (SHA-256)"),
      h("ul", { class: "files" }, Object.entries(about.files).map(file)),
    ),
  ].flat();
}

function filterText(spec) {
  const band = spec.band_hz ? `, ${spec.band_hz.map((hz) => general(hz)).join(" to ")} Hz` : "";
  return band + (spec.notch_hz ? `, without ${general(spec.notch_hz)} Hz` : "");
}
