"""What a lead is called, and how the limb leads depend on each other.

One idea: leads are known by name, never by position. Names are canonical (``aVR``, ``V1``); what files call them is
mapped here, once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = [
    "ANY_LEAD",
    "LIMB_LEADS",
    "TWELVE_LEADS",
    "canonical_lead",
    "is_known_lead",
    "limb_lead_weights",
    "rhythm_lead",
]

TWELVE_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LIMB_LEADS = TWELVE_LEADS[:6]
ANY_LEAD = "any"  # what a model of one lead reads that was trained on whichever lead there was
_RHYTHM_LEADS = ("II", "MLII", "I", "MLI", "V1", "MV1")  # where rhythm is read first

# Einthoven's law (III = II - I) and Goldberger's augmented leads, as weights of leads I and II.
_LIMB = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
# Leads outside the standard twelve that published records carry: right-sided, posterior, Frank's, modified (MIT-BIH).
_OTHER = ("V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9", "vx", "vy", "vz", "MLI", "MLII", "MLIII", "MV1", "MCL1")
_CANONICAL = {name.upper(): name for name in (*TWELVE_LEADS, *_OTHER)}
_CANONICAL |= {"AVR": "aVR", "AVL": "aVL", "AVF": "aVF", "DI": "I", "DII": "II", "DIII": "III"}
_CANONICAL |= {"D1": "I", "D2": "II", "D3": "III", "C1": "V1", "C2": "V2", "C3": "V3", "C4": "V4", "C5": "V5"}
_CANONICAL |= {"C6": "V6", "L1": "I", "L2": "II", "L3": "III", "X": "vx", "Y": "vy", "Z": "vz"}
# An unnamed table of twelve: I, II, III, aVR, aVL, aVF, V1-V6.
_CANONICAL |= {f"LEAD{k + 1}": name for k, name in enumerate(TWELVE_LEADS)}


def canonical_lead(name: str) -> str:
    """Return the canonical name of a lead, or ``name`` stripped where it is not known.

    >>> canonical_lead("avr "), canonical_lead("Lead II"), canonical_lead("lead7"), canonical_lead("-aVR")
    ('aVR', 'II', 'V1', '-aVR')
    """
    if name.strip().startswith("-"):
        return name.strip()  # -aVR is not aVR
    key = name.strip().upper().replace("_", " ")
    squeezed = key.replace(" ", "").replace("-", "")
    for candidate in (squeezed, squeezed.removeprefix("LEAD"), squeezed.removeprefix("ECG")):
        if candidate in _CANONICAL:
            return _CANONICAL[candidate]
    return name.strip()


def is_known_lead(name: str) -> bool:
    """Whether ``name`` is, in any usual spelling, a lead of the standard twelve or a published extra one."""
    return canonical_lead(name) in _CANONICAL.values()


def rhythm_lead(available: Sequence[str]) -> str:
    """Return the lead in which rhythm is read: II, its modified form, I, V1, or else the first there is.

    >>> rhythm_lead(["V5", "MLII"]), rhythm_lead(["V5", "V2"])
    ('MLII', 'V5')
    """
    return next((lead for lead in _RHYTHM_LEADS if lead in available), available[0])


def limb_lead_weights(lead: str, available: Sequence[str]) -> dict[str, float] | None:
    """Return how ``lead`` follows from two other limb leads, or None where it does not.

    I and II are preferred as the source; else the first two limb leads that are available.

    >>> limb_lead_weights("aVF", ["I", "II", "V1"])
    {'I': -0.5, 'II': 1.0}
    """
    source = [name for name in LIMB_LEADS if name in available and name != lead][:2]
    if lead not in _LIMB or len(source) < 2:
        return None
    # Any two limb leads determine the frontal plane: solve for the combination that gives the wanted one.
    basis = np.array([_LIMB[name] for name in source]).T
    weights = np.linalg.solve(basis, np.array(_LIMB[lead]))
    return {name: float(round(w, 12)) for name, w in zip(source, weights, strict=True)}
