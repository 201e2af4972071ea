// Zero-phase band-pass and notch: Butterworth of order 2 and a second-order notch, forwards and backwards, as SciPy's
// sosfiltfilt and filtfilt run them with an even extension of one second.

/** Biquads [b0, b1, b2, a1, a2] of a Butterworth band; an edge at 0 Hz or half the rate leaves that side open. */
export function bandSections(fs, low, high) {
  const nyquist = fs / 2;
  if (low <= 0 && high >= nyquist) return [];
  const warp = (hz) => 2 * Math.tan((Math.PI * hz) / fs); // bilinear transform at a rate of 1
  if (low <= 0) return [lowPass(warp(high))];
  if (high >= nyquist) return [highPass(warp(low))];
  return bandPass(warp(low), warp(high));
}

function lowPass(w) {
  const scale = 4 + 2 * Math.SQRT2 * w + w * w;
  const b = (w * w) / scale;
  return [b, 2 * b, b, (2 * w * w - 8) / scale, (4 - 2 * Math.SQRT2 * w + w * w) / scale];
}

function highPass(w) {
  const scale = 4 + 2 * Math.SQRT2 * w + w * w;
  const b = 4 / scale;
  return [b, -2 * b, b, (2 * w * w - 8) / scale, (4 - 2 * Math.SQRT2 * w + w * w) / scale];
}

// Each prototype pole p becomes the two roots of s^2 - p * bw * s + w0^2; conjugates join into two biquads.
function bandPass(w1, w2) {
  const width = w2 - w1;
  const middle = w1 * w2;
  const half = [(-Math.SQRT1_2 * width) / 2, (Math.SQRT1_2 * width) / 2];
  const root = complexRoot(half[0] ** 2 - half[1] ** 2 - middle, 2 * half[0] * half[1]);
  const poles = [1, -1].map((sign) => [half[0] + sign * root[0], half[1] + sign * root[1]]);
  let gain = width * width;
  const sections = poles.map(([re, im]) => {
    // (2 + s) / (2 - s) maps the pole; the gain collects |2 - s|^2.
    const scale = (2 - re) ** 2 + im ** 2;
    gain *= 4 / scale;
    const zRe = (4 - re * re - im * im) / scale;
    const zIm = (4 * im) / scale;
    return [1, 0, -1, -2 * zRe, zRe * zRe + zIm * zIm];
  });
  // Each zero at the origin of the prototype gives 2 in the numerator: of the sections' 16, all but 4 is undone.
  const [first, ...rest] = sections;
  return [[gain / 4, 0, -gain / 4, first[3], first[4]], ...rest];
}

function complexRoot(re, im) {
  const size = Math.hypot(re, im);
  const a = Math.sqrt((size + re) / 2);
  const b = Math.sqrt((size - re) / 2);
  return [a, im < 0 ? -b : b];
}

/** The biquad of a notch at one frequency. */
export function notchSection(fs, hz, quality = 30) {
  const w = (2 * Math.PI * hz) / fs;
  const gain = 1 / (1 + Math.tan(w / quality / 2));
  return [gain, -2 * gain * Math.cos(w), gain, -2 * gain * Math.cos(w), 2 * gain - 1];
}

/** Run biquads forwards and backwards over rows (Float32Array each, finite) at `fs` Hz. */
export function zeroPhase(rows, sections, fs) {
  if (!sections.length) return rows;
  return rows.map((row) => {
    const pad = Math.min(Math.trunc(fs), row.length - 1);
    const extended = evenExtension(row, pad);
    const forwards = cascade(extended, sections).reverse();
    const both = cascade(forwards, sections).reverse();
    return Float32Array.from(both.subarray(pad, pad + row.length));
  });
}

function evenExtension(row, pad) {
  const n = row.length;
  return Float64Array.from({ length: n + 2 * pad }, (_, k) => {
    const at = k - pad;
    return at < 0 ? row[-at] : at < n ? row[at] : row[2 * (n - 1) - at];
  });
}

// Transposed direct form II, each section started in the steady state of the first value.
function cascade(x, sections) {
  let y = x;
  let level = x[0];
  for (const [b0, b1, b2, a1, a2] of sections) {
    const out = new Float64Array(y.length);
    const steady = (b0 + b1 + b2) / (1 + a1 + a2);
    let s1 = (steady - b0) * level;
    let s2 = (b2 - a2 * steady) * level;
    for (let k = 0; k < y.length; k++) {
      out[k] = b0 * y[k] + s1;
      s1 = b1 * y[k] - a1 * out[k] + s2;
      s2 = b2 * y[k] - a2 * out[k];
    }
    level *= steady;
    y = out;
  }
  return y;
}
