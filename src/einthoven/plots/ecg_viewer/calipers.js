// Two marks on one lead, and what lies between them: milliseconds, millivolts, beats per minute.

import { fixed } from "./elements.js";

/** What the marks say; a rate only where they are apart in time. */
export function readingOf([a, b]) {
  const ms = Math.abs(b.seconds - a.seconds) * 1000;
  return { ms, volts: Math.abs(b.volts - a.volts), bpm: ms >= 1 ? 60000 / ms : null };
}

/** The reading in words; at most as many digits as a caliper has. */
export function wordsOf(marks, unit) {
  const { ms, volts, bpm } = readingOf(marks);
  return [`${Math.round(ms)} ms`, bpm === null ? null : `${Math.round(bpm)} bpm`, `${fixed(volts, 2)} ${unit}`]
    .filter(Boolean)
    .join("  \u00b7  ");
}

/** One mark in words, for a screen reader. */
export const markWords = (mark, name, unit) =>
  `${name}, ${mark.seconds.toFixed(3)} seconds, ${fixed(mark.volts, 2)} ${unit}`;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Bring a mark to whole milliseconds and hundredths of a millivolt within its slot. */
export function settled({ seconds, volts }, slot) {
  return {
    seconds: clamp(Math.round(seconds * 1000) / 1000, slot.from, slot.to),
    volts: clamp(Math.round(volts * 100) / 100, -50, 50),
  };
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** Where an arrow key moves a mark: one sample or 0.01 mV; with Shift 40 ms or 0.1 mV, a millimetre of usual paper. */
export function moved(mark, event, fs, slot) {
  const step = STEPS[event.key];
  if (!step) return null;
  const [time, volts] = event.shiftKey ? [0.04, 0.1] : [1 / fs, 0.01];
  const seconds = clamp(mark.seconds + step[0] * time, slot.from, slot.to);
  return { seconds, volts: clamp(Math.round((mark.volts + step[1] * volts) * 100) / 100, -50, 50) };
}
