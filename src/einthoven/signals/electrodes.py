"""What electrodes measure: every lead as a difference of potentials, and what exchanged cables make of it.

One idea: a fault happens at an electrode, so it is worked out there, and all leads that rest on it follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import ConformError
from einthoven.leads import TWELVE_LEADS

__all__ = ["ELECTRODES", "electrode_weights", "exchange_electrodes", "exchange_weights"]

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
Array = NDArray[np.float64]

# Weights of RA, LA and LL. The chest leads stand against Wilson's terminal, the mean of the three.
_LIMB = {
    "I": (-1.0, 1.0, 0.0),
    "II": (-1.0, 0.0, 1.0),
    "III": (0.0, -1.0, 1.0),
    "aVR": (1.0, -0.5, -0.5),
    "aVL": (-0.5, 1.0, -0.5),
    "aVF": (-0.5, -0.5, 1.0),
}


def electrode_weights(leads: Sequence[str]) -> Array:
    """Weights of the electrode potentials in each lead, shape (leads, electrodes).

    Columns are ``ELECTRODES``; each lead that is none of the standard twelve adds a column for its own electrode.
    """
    own = [lead for lead in leads if lead not in TWELVE_LEADS]
    weights = np.zeros((len(leads), len(ELECTRODES) + len(own)))
    for k, lead in enumerate(leads):
        if lead in _LIMB:
            weights[k, :3] = _LIMB[lead]
        elif lead in own:
            weights[k, len(ELECTRODES) + own.index(lead)] = 1
        else:
            weights[k, :3] = -1 / 3
            weights[k, ELECTRODES.index(lead)] = 1
    return weights


def exchange_weights(leads: Sequence[str], exchange: str) -> Array:
    """How the leads that a device shows follow from the true ones when two cables are exchanged.

    Exchanges among RA, LA and LL give leads of the other names and signs, and leave Wilson's terminal and the chest
    leads alone. ``RA-RL`` puts the right-arm cable on the right leg, whose potential is taken to be the left leg's, so
    that lead II becomes flat (Batchvarov, Malik and Camm, Europace 2007; 9: 1081-1090).

    Args:
        leads: of the record, all of the standard twelve.
        exchange: two of ``ELECTRODES`` joined by a hyphen, such as ``"LA-RA"`` or ``"V1-V3"``, or ``"RA-RL"``.

    Returns:
        Shape (leads shown, leads).

    Raises:
        ConformError: no such exchange, or the leads do not determine its result.
    """
    shown = electrode_weights(leads)[:, : len(ELECTRODES)] @ _moved(exchange)
    true = electrode_weights(leads)[:, : len(ELECTRODES)]
    solved = shown @ np.linalg.pinv(true)
    if not set(leads) <= set(TWELVE_LEADS) or not np.allclose(solved @ true, shown, atol=1e-9):
        raise ConformError(f"what exchanging {exchange} does cannot be computed from the leads {', '.join(leads)}")
    weights = np.zeros((len(leads), len(leads)))
    for k, wanted in enumerate(shown):
        same = [(j, sign) for sign in (1.0, -1.0) for j in range(len(leads)) if np.allclose(sign * true[j], wanted)]
        # A lead that is another by name and sign is taken as it is; limb leads of a file obey Einthoven's law roughly.
        same.sort(key=lambda found: found[0] != k)
        if same:
            weights[k, same[0][0]] = same[0][1]
        else:
            weights[k] = np.where(np.abs(solved[k]) < 1e-9, 0, solved[k])
    return weights


def exchange_electrodes(x: NDArray[np.float32], leads: Sequence[str], exchange: str) -> NDArray[np.float32]:
    """Return what a device shows when two cables are exchanged.

    Args:
        x: shape (..., leads, samples), mV; NaN stays with the leads that rest on it.
        leads: names of the rows.
        exchange: see ``exchange_weights``.

    >>> exchange_electrodes(np.array([[1.0], [3.0], [2.0]], np.float32), ("I", "II", "III"), "LA-RA").ravel()
    array([-1.,  2.,  3.], dtype=float32)
    """
    shown = np.zeros_like(x)
    for k, row in enumerate(exchange_weights(leads, exchange)):
        for j in np.flatnonzero(row):
            shown[..., k, :] += np.float32(row[j]) * x[..., j, :]
    return shown


def _moved(exchange: str) -> Array:
    """Which electrode's place each cable is on, shape (cables, places)."""
    pair = exchange.split("-")
    place = np.eye(len(ELECTRODES))
    if sorted(pair) == ["RA", "RL"]:
        place[ELECTRODES.index("RA")] = place[ELECTRODES.index("LL")]
        return place
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(ELECTRODES):
        raise ConformError(
            f"cannot exchange {exchange!r}: name two of {', '.join(ELECTRODES)} joined by a hyphen, or RA-RL"
        )
    first, second = (ELECTRODES.index(name) for name in pair)
    place[[first, second]] = place[[second, first]]
    return place
