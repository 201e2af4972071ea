"""What the model says: the answer in words, a bar for each class, and how far its figures can be believed."""

from __future__ import annotations

from einthoven.bundle import Bundle, Prediction
from einthoven.evaluation.finding_words import calibration_of, share_of
from einthoven.explorer.frame import note, put
from einthoven.explorer.markup import findings, flags, headline, notes
from einthoven.record import Record

__all__ = ["show_findings"]


def show_findings(prediction: Prediction, bundle: Bundle) -> None:
    """Draw the answer and every class; of a refused record the reasons."""
    put(headline(prediction))
    if prediction.refused:
        put(flags(flag for flag in prediction.flags if flag.refuse))
        return
    put(findings(prediction, bundle))
    many = bundle.kind == "multilabel"
    note(f"Bars show the probability{', the mark the threshold from which a class is reported' if many else ''}.")


def show_doubts(prediction: Prediction, bundle: Bundle, record: Record) -> None:
    """Draw what speaks against taking the findings at their word."""
    put(flags(flag for flag in prediction.flags if not flag.refuse))
    if prediction.refused:
        note("There is nothing to believe: the model does not judge this recording.")
        return
    said = [calibration_of(bundle.about)]
    if bundle.decisions.conformal:
        error = share_of(bundle.decisions.conformal.error)
        said.append(
            f"At an error rate of {error}, the true answer stays among “present” and “absent” for all but {error} of "
            "records like those of validation. That is no statement about one person."
        )
    said.append("The model knows the listed classes and no others; what is not reported is not excluded.")
    put(notes(said, "What the figures promise"))
    put(notes([text for text in prediction.notes if text not in record.notes], "What was done to the signal"))
    if not any(not flag.refuse for flag in prediction.flags):
        note("No doubt was raised about the signal: its quality passed, and it is not unlike the records of training.")
