"""What a bundle says about a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from einthoven.signals import Flag

__all__ = ["Finding", "Prediction"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One class of the model.

    Attributes:
        name: of the class.
        description: in words.
        probability: aggregated over windows, and calibrated where the bundle says so.
        threshold: from which the class is reported; None where none could be fitted, and in multi-class models.
        present: the decision: the threshold is reached and no stronger finding contradicts it, or the class is the
            likeliest of those that exclude each other; None without a threshold.
        overruled: the threshold is reached, but a stronger finding contradicts the class.
        sure: ``"present"`` or ``"absent"`` where the bundle's stated error rate allows only that, ``"undecided"`` where
            both stay possible; None where it states no rate.
    """

    name: str
    description: str
    probability: float
    threshold: float | None
    present: bool | None
    overruled: bool = False
    sure: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a bundle says about a record; ``findings`` is empty where a flag refuses the record."""

    record_id: str
    findings: tuple[Finding, ...]
    flags: tuple[Flag, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the record was not fit to be judged."""
        return any(flag.refuse for flag in self.flags)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "record_id": self.record_id,
            "refused": self.refused,
            "findings": [
                {
                    "class": f.name,
                    "description": f.description,
                    "probability": round(f.probability, 6),
                    "threshold": f.threshold,
                    "present": f.present,
                    "overruled": f.overruled,
                    "sure": f.sure,
                }
                for f in self.findings
            ],
            "flags": [{"code": f.code, "text": f.text, "refuse": f.refuse} for f in self.flags],
            "notes": list(self.notes),
        }
