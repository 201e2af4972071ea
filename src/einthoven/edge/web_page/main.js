// The page: takes files, asks the worker, shows the panels.

import { h } from "./elements.js";
import { aboutPanel, findingsPanel, readPanel, tracingPanel } from "./panels.js";
import { headlineOf } from "./words.js";

const byId = (id) => document.getElementById(id);
const narrow = matchMedia("(max-width: 640px)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let about = null;
let sample = null;
let chosen = [];
let results = [];
let shown = 0;

// A worker made from a blob lives under this page's content security policy; one loaded by its address would not.
const source = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
const waiting = new Map();
let asked = 0;

function ask(what, values) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, ask: what, ...values });
  });
}

worker.onmessage = ({ data: { id, value, error } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(value);
  else reject(new Error(error));
};
worker.onerror = (event) => {
  event.preventDefault();
  fail(
    "The page's worker could not start. A current browser is needed: " +
      "Chrome, Edge, Firefox or Safari of the last three years.",
  );
};

/** The state for people (a sentence, read out by screen readers) and for tests (a word). */
function say(state, text) {
  document.body.dataset.state = state;
  byId("status").textContent = text;
  byId("status").className = state;
}

function fail(text) {
  say("failed", text);
  for (const control of document.querySelectorAll("#open input, #open button, #open select")) control.disabled = true;
}

async function start() {
  say("starting", "Loading the model …");
  try {
    const found = await ask("start", { base: new URL(".", import.meta.url).href });
    ({ about, sample } = found);
    byId("about-body").replaceChildren(...aboutPanel(about, found));
  } catch (error) {
    fail(`The page cannot be used: ${error.message}`);
    return;
  }
  byId("model").textContent = `Model: ${about.name}, ${about.precision}`;
  for (const name of ["age", "sex"]) {
    byId(`${name}-field`).hidden = !about.facts.some((fact) =>
      name === "sex" ? fact === "female" || fact === "male" : fact === name,
    );
  }
  for (const control of document.querySelectorAll("#open [disabled]")) control.disabled = false;
  say("ready", "Ready. Choose an ECG, drop one here, or try the synthetic one.");
}

function statedByUser() {
  const value = (id) => byId(id).value.trim();
  const leads = value("leads")
    ? value("leads")
        .split(/[\s,;]+/)
        .filter(Boolean)
    : null;
  return {
    fs: value("fs") ? Number(value("fs").replace(",", ".")) : null,
    unit: value("unit") || null,
    leads,
    age: value("age") ? Number(value("age")) : null,
    sex: value("sex") || null,
  };
}

async function judge(files) {
  if (!about || !files.length) return;
  chosen = [...files];
  const stated = statedByUser();
  if (!byId("stated").checkValidity()) {
    byId("stated-box").open = true;
    byId("stated").reportValidity();
    return;
  }
  say("working", `Reading ${chosen.length === 1 ? chosen[0].name : `${chosen.length} files`} …`);
  try {
    const found = await ask("judge", { files: chosen, stated });
    results = found.results;
    shown = 0;
    showRecords();
    showRecord();
    const count = results.filter((result) => result.prediction).length;
    const what = count === 1 ? "One record" : `${count} records`;
    const bad = results.length - count;
    const rest = bad ? ` ${bad} ${bad === 1 ? "file" : "files"} could not be read.` : "";
    const read = count ? `${what} read and judged in ${found.seconds.toFixed(2)} s, on this computer.` : "";
    bringIntoView();
    say(count ? "done" : "bad", results.length ? `${read}${rest}`.trim() : "No record is among these files.");
  } catch (error) {
    say("bad", `Something went wrong while judging: ${error.message}`);
  }
}

// On a phone the result lies below the screen.
function bringIntoView() {
  const first = byId("records").hidden ? byId("result").firstElementChild : byId("records");
  if (!first || first.getBoundingClientRect().top < innerHeight / 2) return;
  first.scrollIntoView({ block: "start", behavior: still.matches ? "auto" : "smooth" });
}

function showRecords() {
  byId("records").hidden = results.length < 2;
  byId("records").replaceChildren(
    ...results.map((result, k) => {
      const outcome = result.error ? "cannot be read" : headlineOf(result.prediction, about).text;
      const choose = () => {
        shown = k;
        showRecords();
        showRecord();
        byId("records").children[k].focus();
      };
      return h(
        "button",
        { type: "button", "aria-current": k === shown ? "true" : null, onclick: choose },
        h("strong", {}, result.name),
        h("span", {}, outcome),
      );
    }),
  );
}

function showRecord() {
  const result = results[shown];
  for (const field of ["fs", "unit", "leads"]) byId(field).removeAttribute("aria-invalid");
  if (!result) byId("result").replaceChildren();
  else if (result.error) {
    byId("result").replaceChildren(
      h(
        "section",
        { class: "card", id: "error" },
        h("h2", {}, "This file cannot be read"),
        h("p", { class: "box bad" }, result.error),
      ),
    );
    if (result.needs) {
      byId("stated-box").open = true;
      byId(result.needs).setAttribute("aria-invalid", "true");
    }
  } else {
    byId("result").replaceChildren(
      readPanel(result),
      findingsPanel(result, about),
      tracingPanel(result, narrow.matches),
    );
  }
}

narrow.addEventListener("change", () => {
  if (results[shown]?.record) byId("tracing").replaceWith(tracingPanel(results[shown], narrow.matches));
});
byId("files").addEventListener("change", (event) => {
  judge(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
byId("sample").addEventListener("click", () => {
  byId("stated").reset(); // the sample states everything itself
  judge([new File([sample], about.sample.file)]);
});
byId("stated").addEventListener("submit", (event) => {
  event.preventDefault();
  judge(chosen);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") judge(event.dataTransfer.files);
  });
}

start();
