// Patient facts in the comment lines of WFDB headers: CinC ("Age: 74"), LUDB ("<age>: 51") and MIT-BIH ("68 M 1960").

const MIT_BIH = /^(-?\d{1,3})\s+([MF?])\b/;
const SEX = { f: "female", female: "female", m: "male", male: "male" };
const UNKNOWN = new Set(["", "nan", "unknown", "n/a", "na", "none", "?", "-1", "-"]);

/** Age in years and sex, each null where it is not told, and notes on what was not understood. */
export function patientFacts(comments) {
  const fields = fieldsOf(comments);
  const notes = [];
  const age = ageOf(fields.get("age") ?? "", notes);
  noteCodes(fields.get("dx") ?? "", notes);
  return { age, sex: SEX[(fields.get("sex") ?? "").toLowerCase()] ?? null, notes };
}

function fieldsOf(comments) {
  const fields = new Map();
  for (const part of comments.flatMap((comment) => comment.split("#"))) {
    const at = part.indexOf(":");
    const key = part
      .slice(0, at)
      .trim()
      .replace(/^[<>]+|[<>]+$/g, "")
      .toLowerCase();
    if (at >= 0 && !fields.has(key)) fields.set(key, part.slice(at + 1).trim());
  }
  const found = MIT_BIH.exec(comments[0] ?? "");
  if (found && !fields.has("age")) fields.set("age", found[1]).set("sex", found[2]);
  return fields;
}

function ageOf(text, notes) {
  if (UNKNOWN.has(text.toLowerCase())) return null;
  if (/^\d{1,3}(\.\d{0,9})?$/.test(text)) return Number(text);
  notes.push(`The age '${text.slice(0, 40)}' is not a number of years and was left out.`);
  return null;
}

function noteCodes(text, notes) {
  const codes = text.split(",").map((code) => code.trim());
  const odd = codes.filter((code) => !/^\d+$/.test(code) && !UNKNOWN.has(code.toLowerCase()));
  if (odd.length) {
    notes.push(`Diagnoses that are no SNOMED CT codes were left out: ${odd.join(", ").slice(0, 200)}.`);
  }
}
