// Colours of what speaks for and against; they differ in lightness too, for grey prints and colour-blind readers.

const [FOR, AGAINST, NORMAL] = ["232, 89, 12", "28, 95, 168", "26, 122, 91"];
const [LEAST, STRONGEST] = [0.08, 0.75];

/** Colour of a share of the full value (-1 to 1), null where it is too weak to be painted. */
export function colourOf(share, normal) {
  const size = Math.min(1, Math.abs(share));
  if (!(size >= LEAST)) return null;
  const hue = share < 0 ? AGAINST : normal ? NORMAL : FOR;
  return `rgba(${hue}, ${(size ** 0.7 * STRONGEST).toFixed(3)})`;
}

/** The colour bar from all against to all for, as a CSS gradient. */
export function rampOf(normal) {
  const stops = Array.from({ length: 21 }, (_, k) => (k - 10) / 10);
  const colours = stops.map((share) => colourOf(share, normal) ?? "transparent");
  return `linear-gradient(90deg, ${colours.join(", ")}), #fffafa`;
}
