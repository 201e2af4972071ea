// What a prediction says, in words. Two rules: "normal ECG" is never worded as an abnormality, and nothing found is
// never worded as normal.

/** A class in words: its description, else its name. */
export function titleOf(finding) {
  const text = finding.description || finding.class;
  return text[0].toUpperCase() + text.slice(1);
}

const lower = (finding) => finding.description || finding.class;

function joined(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

export const isNormal = (finding, about) => about.normal.includes(finding.class);

/** The answer in one or two sentences, and its tone: "refused", "abnormal", "normal" or "nothing". */
export function headlineOf(prediction, about) {
  if (prediction.refused) {
    return {
      tone: "refused",
      text: "Not judged.",
      more: "The recording is not fit for this model; the reasons are under “What was read”.",
    };
  }
  const present = prediction.findings.filter((finding) => finding.present);
  const abnormal = present.filter((finding) => !isNormal(finding, about));
  const normal = present.filter((finding) => isNormal(finding, about));
  const aside = normal.length ? `Also reported, and no abnormality: ${joined(normal.map(lower))}.` : "";
  if (about.kind === "multiclass") {
    const [found] = present;
    const share = `with a probability of ${shareOf(found.probability)}`;
    return {
      tone: isNormal(found, about) ? "normal" : "abnormal",
      text: `Likeliest of ${about.classes.length} classes: ${lower(found)}.`,
      more: `It was chosen ${share}. Other conditions are unknown to the model.`,
    };
  }
  if (abnormal.length) {
    return { tone: "abnormal", text: `Reported: ${joined(abnormal.map(lower))}.`, more: aside };
  }
  if (normal.length) {
    return {
      tone: "normal",
      text: `Reported: ${joined(normal.map(lower))}.`,
      more: "This does not exclude disease: the model knows the classes below and no others.",
    };
  }
  return {
    tone: "nothing",
    text: "Nothing is reported: no class reached its threshold.",
    more: "That is not the finding of a normal ECG: no abnormality was found, and none was excluded.",
  };
}

/** A probability as a person reads it. */
export function shareOf(p) {
  if (p > 0 && p < 0.01) return "under 1\u00a0%";
  if (p < 1 && p > 0.99) return "over 99\u00a0%";
  return `${Math.round(100 * p)}\u00a0%`;
}

/** The verdict on one class: a word, a sentence, and a tone ("abnormal", "normal", "open" or "quiet"). */
export function verdictOf(finding, about) {
  const rate = about.conformal ? `an error rate of ${shareOf(about.conformal.error)}` : "";
  if (finding.overruled) {
    return { word: "Overruled", tone: "open", more: "Reaches its threshold, but contradicts a stronger finding." };
  }
  if (finding.present) {
    const tone = isNormal(finding, about) ? "normal" : "abnormal";
    const reason = about.kind === "multiclass" ? "The likeliest class" : "Reaches its threshold";
    return { word: "Present", tone, more: reason + PRESENT[finding.sure](rate) };
  }
  if (finding.present === null)
    return { word: "No threshold", tone: "open", more: "Too few cases to fit one; the probability alone is shown." };
  if (finding.sure === "undecided" || finding.sure === "present") {
    return { word: "Undecided", tone: "open", more: `Not reported, but at ${rate} it cannot be called absent.` };
  }
  if (finding.sure === "absent") return { word: "Absent", tone: "quiet", more: `Not reported; absent at ${rate}.` };
  return { word: "Not reported", tone: "quiet", more: "That does not exclude it." };
}

const PRESENT = {
  present: (rate) => `; present at ${rate}.`,
  undecided: (rate) => `, but at ${rate} absence stays possible.`,
  absent: (rate) => `, though at ${rate} it would be called absent.`,
  null: () => ".",
};
