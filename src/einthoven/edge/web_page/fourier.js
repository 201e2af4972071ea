// The power spectrum of a real signal of any length, by Bluestein's algorithm over a radix-2 transform.

/** |X[k]|^2 for k from 0 to floor(n / 2). */
export function powerSpectrum(x) {
  const n = x.length;
  let size = 1;
  while (size < 2 * n) size *= 2;
  const { cos, sin } = chirpOf(n);
  const a = [new Float64Array(size), new Float64Array(size)];
  const b = [new Float64Array(size), new Float64Array(size)];
  for (let k = 0; k < n; k++) {
    a[0][k] = x[k] * cos[k];
    a[1][k] = -x[k] * sin[k];
    b[0][k] = b[0][(size - k) % size] = cos[k];
    b[1][k] = b[1][(size - k) % size] = sin[k];
  }
  transform(a);
  transform(b);
  for (let k = 0; k < size; k++) {
    const re = a[0][k] * b[0][k] - a[1][k] * b[1][k];
    // The conjugate, so that the same transform leads back; sizes of numbers do not mind.
    a[1][k] = -(a[0][k] * b[1][k] + a[1][k] * b[0][k]);
    a[0][k] = re;
  }
  transform(a);
  return Float64Array.from({ length: Math.floor(n / 2) + 1 }, (_, k) => (a[0][k] ** 2 + a[1][k] ** 2) / size ** 2);
}

const chirps = new Map();

// exp(i pi k^2 / n); k^2 is taken modulo 2n to keep the angle small.
function chirpOf(n) {
  if (!chirps.has(n)) {
    const angle = Float64Array.from({ length: n }, (_, k) => (Math.PI * ((k * k) % (2 * n))) / n);
    chirps.set(n, { cos: angle.map(Math.cos), sin: angle.map(Math.sin) });
  }
  return chirps.get(n);
}

function transform([re, im]) {
  const n = re.length;
  for (let k = 1, j = 0; k < n; k++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (k < j) {
      [re[k], re[j]] = [re[j], re[k]];
      [im[k], im[j]] = [im[j], im[k]];
    }
  }
  for (let width = 2; width <= n; width *= 2) butterflies(re, im, n, width);
}

function butterflies(re, im, n, width) {
  const half = width / 2;
  for (let k = 0; k < half; k++) {
    const [c, s] = [Math.cos((-2 * Math.PI * k) / width), Math.sin((-2 * Math.PI * k) / width)];
    for (let low = k; low < n; low += width) {
      const high = low + half;
      const [r, i] = [re[high] * c - im[high] * s, re[high] * s + im[high] * c];
      [re[high], im[high]] = [re[low] - r, im[low] - i];
      [re[low], im[low]] = [re[low] + r, im[low] + i];
    }
  }
}
