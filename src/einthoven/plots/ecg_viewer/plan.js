// Where each lead stands on the sheet, in millimetres of paper.

export const TWELVE_LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const [MARGIN, PULSE, EDGE] = [4, 10, 6]; // mm; the pulse is 5 mm wide in a field of 10
const PAGE_S = 10;
const FORMS = {
  "3x4+1": { rows: 3, columns: 4, height: 30, rhythm: "II" },
  "6x2": { rows: 6, columns: 2, height: 25, rhythm: null },
};

/** Layouts that the record's leads allow. */
export function layoutsOf(record) {
  const complete = TWELVE_LEADS.every((lead) => record.leads.includes(lead));
  return complete ? ["3x4+1", "6x2", "12x1"] : ["12x1"];
}

/** Seconds on one sheet: all of the record where leads stand one under the other. */
export function pageSeconds(record, { layout, enlarged }) {
  return enlarged === null && layout in FORMS ? Math.min(PAGE_S, record.duration) : record.duration;
}

// Rows of [lead, first column, columns wide].
function rowsOf(record, { layout, enlarged, hidden }) {
  if (enlarged !== null) return [[[record.leads[enlarged], 0, 1]]];
  if (!(layout in FORMS)) return record.leads.filter((_, k) => !hidden.has(k)).map((lead) => [[lead, 0, 1]]);
  const { rows, columns, rhythm } = FORMS[layout];
  const grid = Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => [TWELVE_LEADS[rows * c + r], c, 1]),
  );
  if (rhythm) grid.push([[rhythm, 0, columns]]);
  return grid.map((row) => row.filter(([lead]) => !hidden.has(record.leads.indexOf(lead))));
}

function heightOf({ layout, enlarged, gain }) {
  const height = enlarged !== null ? 50 : (FORMS[layout]?.height ?? 20);
  return height * Math.max(1, gain / 10); // more gain needs more room
}

/**
 * The sheet.
 * @param {object} record as opened.
 * @param {object} how layout, enlarged lead or null, hidden leads, speed (mm/s), gain (mm/mV), start (s).
 * @returns {{slots: object[], zeros: number[], width: number, height: number, columns: number}} each slot with the row
 *   of its lead, left and right edge, the height of 0 mV and of the row (mm), and its first and last second.
 */
export function planOf(record, how) {
  const rows = rowsOf(record, how);
  const seconds = pageSeconds(record, how);
  const columns = how.enlarged === null ? (FORMS[how.layout]?.columns ?? 1) : 1;
  const height = heightOf(how);
  const share = seconds / columns;
  const start = Math.min(how.start, record.duration - seconds);
  const slots = rows.flatMap((row, r) =>
    row.map(([lead, column, span]) => {
      const left = MARGIN + PULSE + column * share * how.speed;
      return {
        lead: record.leads.indexOf(lead),
        name: lead,
        left,
        right: left + span * share * how.speed,
        zero: EDGE + height * (r + 0.5),
        height,
        from: start + column * share,
        to: start + (column + span) * share,
        first: column === 0,
      };
    }),
  );
  return {
    slots,
    zeros: rows.map((_, r) => EDGE + height * (r + 0.5)),
    pulse: MARGIN,
    left: MARGIN + PULSE,
    width: 2 * MARGIN + PULSE + seconds * how.speed,
    height: 2 * EDGE + rows.length * height,
    fitWidth: how.enlarged === null ? 300 : 150, // mm of a long sheet that are seen at once
    columns,
    seconds,
    start,
  };
}

/** The slot at a place of the sheet, or the nearest of its column; null beside all. */
export function slotAt(plan, x, y) {
  const over = plan.slots.filter((slot) => x >= slot.left && x <= slot.right);
  if (!over.length) return null;
  return over.reduce((best, slot) => (Math.abs(slot.zero - y) < Math.abs(best.zero - y) ? slot : best));
}

export const secondsAt = (slot, x, speed) => slot.from + (x - slot.left) / speed;
export const placeOf = (slot, seconds, speed) => slot.left + (seconds - slot.from) * speed;
