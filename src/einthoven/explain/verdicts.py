"""What the checks say, in words: held, not held or not known, and what that means for a reader.

One idea: a check without its verdict is a number that everybody reads as praise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from einthoven.explain.catalogue import METHODS
from einthoven.explain.explanation import Explanation
from einthoven.explain.population import ClassSummary
from einthoven.explain.wording import LEAST_QRS_RATIO, qrs_check, sum_sentence

__all__ = ["MEANINGS", "Verdict", "record_verdicts", "split_verdicts"]

MEANINGS = {
    "completeness": "Where a method promises it, all values must sum to what the score gained over the reference; "
    "else something moved the model that the picture does not show.",
    "faithfulness": "Cells of one lead and 0.1 s are deleted, or inserted, strongest first, and the score is watched. "
    "What is marked must move it more than random order does (Petsiuk et al. 2018), and more than the order of "
    "voltage, a rival that knows no network.",
    "randomisation": "The same method explains a network whose weights were shuffled (Adebayo et al. 2018). A "
    "correlation near 1 would mean that the picture shows the signal and not what the network learned.",
    "stability": "The explanation is repeated with what should not matter changed. The coefficient of variation (CV) "
    "says by which share of itself the importance of a lead moves.",
    "waves": "What speaks for a disturbance of conduction should lie in the QRS complex, at least "
    f"{LEAST_QRS_RATIO:g} times as much as its share of time.",
}
_LARGEST_CORRELATION = 0.5
_LARGEST_CV = 0.25
_ORDERS = {"random": "random order", "voltage": "the order of voltage"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check.

    Attributes:
        check: a key of ``MEANINGS``.
        of: what was checked: a class, an order, a part of the network; may be empty.
        held: None where it cannot be known.
        sentence: the figures.
    """

    check: str
    of: str
    held: bool | None
    sentence: str

    @property
    def word(self) -> str:
        """``held``, ``not held`` or ``not known``."""
        return {True: "held", False: "not held", None: "not known"}[self.held]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"check": self.check, "of": self.of, "verdict": self.word, "sentence": self.sentence}


def record_verdicts(explanation: Explanation, gains: Mapping[str, Mapping[str, float]]) -> list[Verdict]:
    """Checks of one record: its sums, deletion and insertion, and the QRS complex where that applies.

    Args:
        explanation: of the record.
        gains: ``Faithfulness.gains`` of each class.
    """
    method, found = METHODS[explanation.method], []
    for name in explanation.classes:
        found.append(Verdict("completeness", name, True if method.complete else None, sum_sentence(explanation, name)))
        for order in ("random", "voltage"):
            both = [gains[name][f"{way} over {order}"] for way in ("deletion", "insertion")]
            said = "deletion gains {:+.2f} log-odds over {}, insertion {:+.2f}; one record, so no interval"
            found.append(
                Verdict(
                    "faithfulness", f"{name}, {order}", min(both) > 0, said.format(both[0], _ORDERS[order], both[1])
                )
            )
        if (checked := explanation.qrs_check(name)) is not None:
            found.append(Verdict("waves", name, checked["met"], checked["sentence"]))
    return found


def split_verdicts(
    checks: Mapping[str, Mapping[str, Any]],
    summaries: Mapping[str, ClassSummary],
    stability: Mapping[str, Sequence[Mapping[str, Any]]],
    method: str,
) -> list[Verdict]:
    """Checks of a split, each with its verdict.

    Args:
        checks: completeness, faithfulness and randomisation, as ``population.json`` has them.
        summaries: of each class.
        stability: rows of each class.
        method: one of ``METHODS``.
    """
    return [
        _completeness(checks["completeness"], METHODS[method].complete),
        *(_faithful(of, row) for of, row in checks["faithfulness"].items()),
        *(_random(of, row) for of, row in checks["randomisation"].items()),
        *_conduction(summaries),
        *(Verdict("stability", name, *_steady(rows)) for name, rows in stability.items()),
    ]


def _completeness(row: Mapping[str, Any], promised: bool) -> Verdict:
    if not promised or not row["n"]:
        return Verdict("completeness", "", None, "this method promises no sum")
    said = (
        f"sums are off by {row['median_gap']:.3f} log-odds in the median and {row['largest_gap']:.3f} at most, of "
        f"{row['n']} findings; what sums worse is listed as left out"
    )
    return Verdict("completeness", "", True, said)


def _faithful(of: str, row: Mapping[str, Any]) -> Verdict:
    way, rival = of.split(" over ")
    if not row["n"]:
        return Verdict("faithfulness", of, None, "no finding was checked")
    said = f"{way} against {_ORDERS[rival]} gains {_interval(row, ' log-odds')}"
    if row["low"] is None:
        return Verdict("faithfulness", of, None, f"{said}; too few for an interval")
    more = "" if row["low"] > 0 else ": it is worse" if row["high"] < 0 else ": the interval holds 0, nothing is shown"
    return Verdict("faithfulness", of, row["low"] > 0, said + more)


def _random(of: str, row: Mapping[str, Any]) -> Verdict:
    """Shuffled weights; sizes alone follow the signal in any network, and a reader must know how much."""
    sizes = of.startswith("absolute ")
    part = {"head": "with the last layer", "all": "with all weights"}[of.removeprefix("absolute ")]
    if not row["n"]:
        return Verdict("randomisation", of, None, "no finding was checked")
    said = f"{part} shuffled, the rank correlation{' of sizes' if sizes else ''} is {_interval(row)}"
    if row["low"] is None:
        return Verdict("randomisation", of, None, f"{said}; too few for an interval")
    held = row["high"] < _LARGEST_CORRELATION
    more = ": sizes follow the signal in any network, so read signs, not sizes alone" if sizes and not held else ""
    return Verdict("randomisation", of, held, said + more)


def _conduction(summaries: Mapping[str, ClassSummary]) -> list[Verdict]:
    rows = {name: summary.waves["QRS"] for name, summary in summaries.items()}
    found = []
    for name, row in rows.items():
        others = [
            f"{other} {each['mean']:.1f}"
            for other, each in rows.items()
            if other != name and each["mean"] is not None and each["mean"] >= LEAST_QRS_RATIO
        ]
        if (checked := qrs_check(name, row["mean"], others)) is not None:
            few = row["low"] is None
            bounds = "; too few for an interval" if few else f"; 95 % interval {row['low']:.1f} to {row['high']:.1f}"
            found.append(Verdict("waves", name, None if few else checked["met"], f"{checked['sentence']}{bounds}"))
    return found


def _steady(rows: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    matter = [row for row in rows if row["mean"] >= 1 / len(rows)]  # a mean is reached by at least one of them
    worst = max(matter, key=lambda row: row["cv"])
    said = (
        f"of the {len(matter)} leads with at least a {len(rows)}th of the importance, {worst['lead']} moves most "
        f"(CV {worst['cv']:.2f}, mean {worst['mean']:.3f}, SEM {worst['sem']:.4f})"
    )
    return worst["cv"] <= _LARGEST_CV, said


def _interval(row: Mapping[str, Any], unit: str = "") -> str:
    bounds = "" if row["low"] is None else f" (95 % interval {row['low']:+.2f} to {row['high']:+.2f})"
    return f"{row['mean']:+.2f}{unit}{bounds}, {row['n']} finding{'' if row['n'] == 1 else 's'}"
