// What lies over the canvas: names of leads, which enlarge them, and the two marks of the calipers.

import { markWords } from "./calipers.js";
import { make } from "./elements.js";
import { placeOf } from "./plan.js";

/** Put names and marks over the drawing and keep them in place. */
export function furnish(stage, figure) {
  const names = make("div", { class: "ecg-names" });
  const handles = [0, 1].map((k) => handleOf(k, figure));
  stage.append(names, ...handles);
  let plan = null;
  figure.onDrawn(() => {
    if (plan !== figure.plan) renew(names, figure);
    plan = figure.plan;
    [...names.children].forEach((name, k) => placeName(name, plan.slots[k], figure));
    handles.forEach((handle, k) => placeHandle(handle, k, figure));
    const busy = figure.measuring || figure.view.isTall(plan);
    stage.style.touchAction = busy ? "none" : "pan-y"; // a finger that strokes up scrolls the page where it can
    stage.classList.toggle("ecg-measuring", figure.measuring);
  });
}

// The button that has the focus keeps it through a new layout.
function renew(names, figure) {
  const held = names.contains(document.activeElement) ? document.activeElement.textContent : null;
  names.replaceChildren(...figure.plan.slots.map((slot) => nameOf(slot, figure)));
  const again = [...names.children].find((name) => name.textContent === held);
  if (again) again.focus({ preventScroll: true });
}

function nameOf(slot, figure) {
  const large = figure.how.enlarged !== null;
  const label = large ? `${slot.name}: back to all leads` : `${slot.name}: enlarge`;
  return make(
    "button",
    {
      type: "button",
      class: "ecg-name",
      "aria-label": label,
      title: label,
      onclick: () => figure.enlarge(slot),
      onfocus: () => figure.revealSlot(slot),
    },
    slot.name,
  );
}

// Above the trace, or under the pulse where there is one for each lead; it stays in sight while its slot is.
function placeName(name, slot, { view, plan }) {
  const one = plan.columns === 1;
  const left = Math.max(3, one ? view.toX(plan.pulse) - 4 : view.toX(slot.left) + 3);
  const top = view.toY(one ? slot.zero + 1 : slot.zero - slot.height * 0.47);
  name.style.transform = `translate(${Math.min(left, view.toX(slot.right) - 30)}px, ${top}px)`;
}

function handleOf(k, figure) {
  const name = k ? "Second mark" : "First mark";
  return make("div", {
    role: "slider",
    tabindex: "0",
    class: "ecg-handle",
    "data-mark": k,
    "aria-label": `${name} of the calipers`,
    "aria-valuemin": 0,
    "aria-valuemax": figure.record.duration.toFixed(3),
    "aria-valuenow": 0,
    hidden: true,
  });
}

function placeHandle(handle, k, { marks, view, how, record }) {
  handle.hidden = marks === null;
  if (!marks) return;
  const { slot } = marks;
  const x = view.toX(placeOf(slot, marks[k].seconds, how.speed));
  const y = view.toY(slot.zero - marks[k].volts * how.gain);
  handle.style.transform = `translate(${x - 12}px, ${y - 12}px)`;
  handle.setAttribute("aria-valuenow", marks[k].seconds.toFixed(3));
  handle.setAttribute("aria-valuetext", markWords(marks[k], slot.name, record.unit));
}
