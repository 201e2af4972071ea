"""The methods, as a table: what each computes, what it is compared with, and what it promises. Loads no torch.

One idea: what a method is called and promises is data, so a wrong name is refused before anything heavy is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from einthoven.errors import EinthovenError, nearest

if TYPE_CHECKING:
    from einthoven.bundle import Bundle

__all__ = ["LOGIT", "METHODS", "RELATIVE", "Method", "Settings", "bound", "check_classes", "doubled", "method_named"]

LOGIT = "contribution to the log-odds of the class"
RELATIVE = "relative: 0 to 1, 1 where the evidence is strongest"
_ROUNDS = 3  # how often steps are doubled before a method is called incomplete
_REFERENCES = {
    "flat": "a flat line at 0 mV",
    "background": "background records",
    "bridged": "straight lines in place of the wave",
    "none": "no other record, for the method looks at this one alone",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How an attribution is computed.

    Attributes:
        steps: of the path integral; doubled up to three times where the sum does not come out.
        n_background: records of the background, where a method compares with one.
        seed: of the synthetic background and of everything that is drawn.
        tolerance: how far the sum of a complete method may be from what the score gained, as a share of the gain.
        least: or in log-odds, whichever is more.
    """

    steps: int = 50
    n_background: int = 16
    seed: int = 0
    tolerance: float = 0.05
    least: float = 0.05


@dataclass(frozen=True, slots=True)
class Method:
    """One way to attribute a score to leads and moments.

    Attributes:
        name: in commands.
        words: what it is, with its paper.
        meaning: what a value says, a sentence.
        reference: what the record is compared with.
        complete: whether the attribution promises to sum to what the score gained over the reference.
        unit: of the attribution.
        by_lead: whether leads differ.
        by_time: whether moments differ.
        steps: of the path integral by default.
        integrates: whether more steps make the sum more exact.
    """

    name: str
    words: str
    meaning: str
    reference: Literal["flat", "background", "bridged", "none"]
    complete: bool = False
    unit: str = LOGIT
    by_lead: bool = True
    by_time: bool = True
    steps: int = 50
    integrates: bool = False

    @property
    def compared_with(self) -> str:
        """The reference in words."""
        return _REFERENCES[self.reference]


_PATH = (
    "Each value is what a sample added to the log-odds on a straight way from {} to this record; all values together "
    "are what the score gained."
)
_LOSS = "Each value is what the score loses when that part is replaced, spread evenly over its samples."

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "ig",
            "integrated gradients (Sundararajan et al. 2017)",
            _PATH.format("a flat line"),
            "flat",
            complete=True,
            integrates=True,
        ),
        Method(
            "eg",
            "expected gradients (Erion et al. 2021): SHAP values, integrated gradients averaged over a background",
            _PATH.format("every record of the background, averaged,"),
            "background",
            complete=True,
            steps=12,
            integrates=True,
        ),
        Method(
            "deeplift",
            "DeepLIFT-SHAP (Shrikumar et al. 2017; Lundberg and Lee 2017), rescale rule",
            "Each value is a sample's share in the difference of the score to every record of the background, layer by "
            "layer, averaged; all values together are that difference.",
            "background",
            complete=True,
        ),
        Method(
            "gradcam",
            "Grad-CAM (Selvaraju et al. 2017) of the last features over time; the same for all leads",
            "Each value says how strongly the last features at that moment raise the score, relative to the strongest.",
            "none",
            unit=RELATIVE,
            by_lead=False,
        ),
        Method("occlusion-leads", "occlusion of each lead", _LOSS, "flat", by_time=False),
        Method(
            "occlusion-waves", "occlusion of each lead's P, QRS, ST-T and rest, in all beats", _LOSS, "bridged"
        ),
        Method(
            "occlusion-beats",
            "occlusion of each wave of each beat, in all leads",
            _LOSS,
            "bridged",
            by_lead=False,
        ),
    )
}  # fmt: skip


def method_named(name: str) -> Method:
    """Return a method of the table.

    Raises:
        EinthovenError: there is no such method.
    """
    if name not in METHODS:
        raise EinthovenError(f"unknown method {name!r}{nearest(name, METHODS)}; methods are {', '.join(METHODS)}")
    return METHODS[name]


def check_classes(bundle: Bundle, classes: Sequence[str]) -> None:
    """Refuse a class that the model does not know.

    Raises:
        EinthovenError: there is one.
    """
    for name in classes:
        if name not in bundle.classes:
            raise EinthovenError(
                f"{bundle.name} knows no class {name!r}{nearest(name, bundle.classes)}; "
                f"its classes are {', '.join(bundle.classes)}"
            )


def doubled(settings: Settings) -> list[Settings]:
    """Settings to try one after the other: with twice the steps each time."""
    steps = [settings.steps * 2**k for k in range(_ROUNDS + 1)]
    return [Settings(n, settings.n_background, settings.seed, settings.tolerance, settings.least) for n in steps]


def bound(gain: float, settings: Settings) -> float:
    """How far the sum of an attribution may be from what the score gained."""
    return max(settings.tolerance * math.fabs(gain), settings.least)
