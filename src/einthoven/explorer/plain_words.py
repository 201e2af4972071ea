"""Short explanations for students, one for each section of the pages: a question, and its answer as HTML."""

from __future__ import annotations

__all__ = ["HELP"]

HELP = {
    "ecg": (
        "What is an ECG?",
        "<strong>An ECG in three sentences.</strong> Every heartbeat is started by a small electric wave that "
        "runs through the heart, and electrodes on the skin record it as voltage over time. A <em>lead</em> is "
        "one viewpoint: the six limb leads look from the arms and legs, V1 to V6 from across the chest. In each "
        "beat the P wave is the atria, the QRS complex the ventricles contracting, and the T wave their recovery.",
    ),
    "read": (
        "Why look here first?",
        "<strong>Why this comes first.</strong> A wrong rate or unit gives a fluent, wrong answer. Compare leads, "
        "rate, unit and length with what you know of the recording before you look at any result.",
    ),
    "model": (
        "What is a model, and AUROC?",
        "<strong>A model</strong> is a network trained on labelled ECGs, together with everything that turns its "
        "scores into findings. <em>AUROC</em> is how often it ranks an ECG with a finding above one without: 0.5 "
        "is chance, 1 is perfect. It says nothing about a single patient.",
    ),
    "findings": (
        "What do probability, threshold and error rate mean?",
        "<strong>Probability</strong>: of 100 ECGs like those of validation that get 30 %, about 30 have the "
        "finding, if the model is <em>calibrated</em>. <strong>Threshold</strong>: the probability from which a "
        "class is reported; it was chosen on validation records and is rarely 50 %. <strong>Error rate</strong>: "
        "answers “present”, “absent” or “undecided” whose true answer is kept in all but this share of "
        "validation-like records. What is not reported is not excluded.",
    ),
    "tracing": (
        "How is the paper read?",
        "<strong>ECG paper.</strong> One small square is 40 ms wide and 0.1 mV high, one large square 200 ms and "
        "0.5 mV. Measure with the calipers: an interval in ms, its rate in beats a minute, a height in mV.",
    ),
    "why": (
        "What does an explanation show?",
        "<strong>An explanation</strong> says which leads and moments moved the model, not what is wrong with the "
        "heart. Orange speaks for the finding, blue against it, green for a normal ECG. It can be believed as far "
        "as its checks say: that its parts sum to the score, and that taking away what it marks changes the score "
        "more than chance does.",
    ),
    "similar": (
        "What does “alike” mean?",
        "<strong>Alike to the model.</strong> The last layer of the network describes each ECG by a few hundred "
        "numbers; records whose numbers point the same way (cosine near 1) look alike to it. They are records of "
        "the dataset on this machine, with the labels that the dataset gives them.",
    ),
    "second": (
        "What can be compared?",
        "<strong>Two models, one ECG.</strong> Where they agree, that is no proof; where they differ, the finding "
        "hangs on the model. Thresholds belong to each model, so compare decisions first and probabilities "
        "second.",
    ),
    "runs": (
        "What is a run?",
        "<strong>A run</strong> is one training. An <em>epoch</em> is one pass over the training records; "
        "<em>loss</em> is what training lowers; <em>validation</em> figures come from records that training never "
        "saw, and choose the epoch. The <em>test</em> split is judged when asked, and decides nothing.",
    ),
    "metrics": (
        "What do the figures mean?",
        "<strong>Intervals</strong> come from drawing patients again and again: a difference smaller than its "
        "interval may be chance. <em>Sensitivity</em> is the share of ECGs with the finding that are reported, "
        "<em>specificity</em> the share without it that are not.",
    ),
    "dataset": (
        "What is a prepared dataset?",
        "<strong>A prepared dataset</strong> is what models are trained on: signals in one form, statements as "
        "the source made them, patients kept in one fold each. A label is what somebody wrote, not the truth: who "
        "was recorded, where, and by whom, shapes what a model can learn.",
    ),
}
