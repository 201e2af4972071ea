// Numbers as Python writes and rounds them, so that both programs say the same sentence about the same file.

/** Python's format "g": so many significant digits, without zeros that tell nothing. */
export function general(x, digits = 6) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (x === 0) return "0";
  const [mantissa, power] = x.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) return trim(x.toFixed(digits - 1 - exponent));
  const sign = exponent < 0 ? "-" : "+";
  return `${trim(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** A share in percent. */
export function percent(x, digits = 0) {
  return `${(100 * x).toFixed(digits)}%`;
}

/** Round half to even, as Python and NumPy do. */
export function rint(x) {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** Percentile of sorted values, linear between neighbours; NaN of none. */
export function percentileOfSorted(sorted, q) {
  if (!sorted.length) return NaN;
  const at = (q / 100) * (sorted.length - 1);
  const k = Math.min(Math.floor(at), sorted.length - 1);
  const next = sorted[Math.min(k + 1, sorted.length - 1)];
  return sorted[k] + (next - sorted[k]) * (at - k);
}

/** The values that are numbers, ascending. */
export function sortedFinite(values) {
  return Float64Array.from(values).filter(Number.isFinite).sort();
}

export function median(values) {
  return percentileOfSorted(sortedFinite(values), 50);
}

/** Linear between points, constant beyond them, as numpy.interp. */
export function interpolate(x, xs, ys) {
  const last = xs.length - 1;
  if (x <= xs[0]) return ys[0];
  if (x >= xs[last]) return ys[last];
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return ys[low] + ((ys[high] - ys[low]) / (xs[high] - xs[low])) * (x - xs[low]);
}
