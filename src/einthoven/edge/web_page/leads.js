// What a lead is called, and how limb leads depend on each other.

export const TWELVE_LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const LIMB_LEADS = TWELVE_LEADS.slice(0, 6);

// Einthoven's law and Goldberger's augmented leads, as weights of leads I and II.
const LIMB = { I: [1, 0], II: [0, 1], III: [-1, 1], aVR: [-0.5, -0.5], aVL: [1, -0.5], aVF: [-0.5, 1] };

const OTHER = ["V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9", "vx", "vy", "vz", "MLI", "MLII", "MLIII", "MV1", "MCL1"];
const CANONICAL = new Map([
  ...[...TWELVE_LEADS, ...OTHER].map((name) => [name.toUpperCase(), name]),
  ...Object.entries({
    DI: "I",
    DII: "II",
    DIII: "III",
    D1: "I",
    D2: "II",
    D3: "III",
    L1: "I",
    L2: "II",
    L3: "III",
    C1: "V1",
    C2: "V2",
    C3: "V3",
    C4: "V4",
    C5: "V5",
    C6: "V6",
    X: "vx",
    Y: "vy",
    Z: "vz",
  }),
  ...TWELVE_LEADS.map((name, k) => [`LEAD${k + 1}`, name]),
]);
const KNOWN = new Set(CANONICAL.values());

const without = (text, prefix) => (text.startsWith(prefix) ? text.slice(prefix.length) : text);

/** The usual name of a lead; the name itself, stripped, where it is not known. */
export function canonicalLead(name) {
  const bare = name.trim();
  if (bare.startsWith("-")) return bare; // -aVR is not aVR
  const squeezed = bare.toUpperCase().replace(/[_ -]/g, "");
  for (const candidate of [squeezed, without(squeezed, "LEAD"), without(squeezed, "ECG")]) {
    if (CANONICAL.has(candidate)) return CANONICAL.get(candidate);
  }
  return bare;
}

export function isKnownLead(name) {
  return KNOWN.has(canonicalLead(name));
}

/** How a limb lead follows from two others: [[name, weight], ...]; null where it does not. */
export function limbLeadWeights(lead, available) {
  const source = LIMB_LEADS.filter((name) => available.includes(name) && name !== lead).slice(0, 2);
  if (!(lead in LIMB) || source.length < 2) return null;
  const [[a, c], [b, d]] = source.map((name) => LIMB[name]);
  const [x, y] = LIMB[lead];
  const determinant = a * d - b * c;
  const weights = [(x * d - b * y) / determinant, (a * y - x * c) / determinant];
  return source.map((name, k) => [name, Number(weights[k].toFixed(12))]);
}
