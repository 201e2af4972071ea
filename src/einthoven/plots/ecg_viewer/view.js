// The part of the sheet that is seen: pixels per millimetre, and which millimetre is at the upper left corner.

const [SMALLEST, LARGEST, READABLE, MOST_FITTED] = [1, 60, 2.6, 8]; // pixels per mm

/** How high a sheet is when it fits a width, in pixels. */
export const sheetHeight = (plan, width) => plan.height * scaleFor(plan, width);

function scaleFor(plan, width) {
  const wanted = width / Math.min(plan.width, plan.fitWidth);
  return Math.max(READABLE, Math.min(wanted, MOST_FITTED));
}

export class View {
  width = 1;
  height = 1;
  scale = 4;
  x = 0;
  y = 0;
  fitted = true; // until the user zooms, a new size of the window fits the sheet anew

  toX = (mm) => (mm - this.x) * this.scale;
  toY = (mm) => (mm - this.y) * this.scale;
  mmX = (px) => px / this.scale + this.x;
  mmY = (px) => px / this.scale + this.y;

  resize(width, height, plan) {
    [this.width, this.height] = [width, height];
    if (this.fitted) this.fit(plan);
    else this.clamp(plan);
  }

  /** All of a sheet, or what of a long one should be seen at once, as far as it stays readable. */
  fit(plan) {
    this.scale = Math.max(READABLE, Math.min(scaleFor(plan, this.width), this.height / plan.height));
    this.fitted = true;
    this.clamp(plan);
  }

  zoom(factor, px, py, plan) {
    const [x, y] = [this.mmX(px), this.mmY(py)];
    this.scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    [this.x, this.y] = [x - px / this.scale, y - py / this.scale];
    this.fitted = false;
    this.clamp(plan);
  }

  pan(dx, dy, plan) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.clamp(plan);
  }

  // What is smaller than the window stands in its middle.
  clamp(plan) {
    const [w, h] = [this.width / this.scale, this.height / this.scale];
    this.x = w >= plan.width ? (plan.width - w) / 2 : Math.min(plan.width - w, Math.max(0, this.x));
    this.y = h >= plan.height ? (plan.height - h) / 2 : Math.min(plan.height - h, Math.max(0, this.y));
  }

  /** Whether there is more above or below than is seen. */
  isTall(plan) {
    return plan.height * this.scale > this.height + 1;
  }
}
