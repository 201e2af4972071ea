// Windows over a signal, and one answer from theirs.

/** First sample of each window: every `stride` samples, and one flush with the end so that nothing is left out. */
export function windowStarts(nSamples, length, stride) {
  const last = Math.max(0, nSamples - length);
  const starts = [];
  for (let start = 0; start <= last; start += stride) starts.push(start);
  if (starts.at(-1) !== last) starts.push(last);
  return starts;
}

/** Windows of shape (windows, leads, length) in one Float32Array, 0 where nothing was recorded, and their number. */
export function cutWindows(rows, length, stride) {
  const starts = windowStarts(rows[0].length, length, stride);
  const cut = new Float32Array(starts.length * rows.length * length);
  starts.forEach((start, w) => {
    rows.forEach((row, r) => {
      const part = row.subarray(start, start + length).map((value) => (Number.isFinite(value) ? value : 0));
      cut.set(part, (w * rows.length + r) * length);
    });
  });
  return { cut, count: starts.length };
}

/** Summarise windows' scores (arrays of classes) by "mean" or "max". */
export function aggregate(scores, how) {
  return scores[0].map((_, k) => {
    const column = scores.map((row) => row[k]);
    return how === "max" ? Math.max(...column) : column.reduce((sum, p) => sum + p, 0) / column.length;
  });
}
