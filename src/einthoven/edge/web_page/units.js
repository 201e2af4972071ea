// Units of voltage as files write them: how many of them make one millivolt.

export const UNITS = { mV: 1, uV: 1000, nV: 1e6, V: 0.001 };

const SPELLINGS = {
  mv: "mV",
  millivolt: "mV",
  millivolts: "mV",
  uv: "uV",
  µv: "uV",
  μv: "uV",
  microvolt: "uV",
  microvolts: "uV",
  nv: "nV",
  nanovolt: "nV",
  v: "V",
  volt: "V",
  volts: "V",
};

/** How many of a unit make one millivolt; null where it is no unit of voltage. */
export function perMillivolt(unit) {
  const known = SPELLINGS[unit.trim().toLowerCase()];
  return known ? UNITS[known] : null;
}
