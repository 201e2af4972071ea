// The element <ecg-viewer>: reads what it carries and becomes the figure.

import { colourBar, readout, scrubber, toolbar } from "./controls.js";
import { openRecord } from "./data.js";
import { make } from "./elements.js";
import { Figure } from "./figure.js";
import { listen } from "./gestures.js";
import { furnish } from "./stage.js";
import { sheetHeight } from "./view.js";

const [NARROW, LEAST, MOST] = [640, 260, 1000]; // pixels

class EcgViewer extends HTMLElement {
  async connectedCallback() {
    if (this.dataset.state) return;
    this.dataset.state = "starting";
    try {
      await this.#build(JSON.parse(this.querySelector("script").textContent));
      this.dataset.state = "ready";
    } catch (error) {
      this.dataset.state = "failed";
      this.append(make("p", { role: "alert" }, `The ECG cannot be drawn: ${error.message}`));
      throw error;
    }
  }

  async #build(carried) {
    const record = await openRecord(carried);
    const canvas = make("canvas", { "aria-hidden": "true" });
    const long = record.duration > 10.5 || this.clientWidth < NARROW;
    const figure = new Figure(record, canvas, carried.layout ?? (long ? "12x1" : "3x4+1"));
    const keys = "arrow keys move, plus and minus zoom, C for calipers, V for values";
    const what = `leads ${record.leads.join(", ")}, ${record.duration.toFixed(1)} seconds`;
    const label = `Drawing of ${carried.title}: ${what}; ${keys}`;
    const stage = make("div", { class: "ecg-stage", role: "application", tabindex: "0", "aria-label": label }, canvas);
    const body = make(
      "section",
      { class: "ecg-figure", "aria-label": `ECG ${carried.title}` },
      toolbar(figure, carried),
      colourBar(figure, carried.overlayUnit),
      stage,
      scrubber(figure),
      readout(figure, carried.overlayUnit),
    );
    this.append(body);
    furnish(stage, figure);
    listen(stage, figure);
    this.#follow(stage, figure);
  }

  // Unless the page says how high, a figure is as high as its sheet when that is as wide as the figure; on a narrow
  // screen always, so that a finger scrolls the page over it.
  #follow(stage, figure) {
    const size = () => {
      const narrow = this.clientWidth < NARROW && !this.style.length;
      if (narrow || this.hasAttribute("natural")) {
        const most = narrow ? MOST : Math.max(LEAST, 0.85 * window.innerHeight);
        const wanted = Math.min(sheetHeight(figure.plan, stage.clientWidth), most);
        stage.style.height = `${Math.round(Math.max(LEAST, wanted))}px`;
        stage.style.flex = "none";
      } else stage.removeAttribute("style");
      figure.resize(stage.clientWidth, stage.clientHeight);
    };
    let height = figure.plan.height;
    figure.onDrawn(() => {
      if (figure.plan.height === height) return;
      height = figure.plan.height;
      size();
    });
    new ResizeObserver(size).observe(stage);
    size();
  }
}

if (!customElements.get("ecg-viewer")) customElements.define("ecg-viewer", EcgViewer);
