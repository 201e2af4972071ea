"""What is one ECG? A signal in millivolts with named leads, a rate, and what is known about it.

Readers make records; everything after them relies on what this type promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError

__all__ = ["Beats", "Record", "Unit"]

Unit = Literal["mV", "normalised"]


@dataclass(frozen=True, slots=True, eq=False)
class Beats:
    """Beat annotations: sample index of each beat and its WFDB symbol (``N``, ``V``, ``/`` ...)."""

    samples: NDArray[np.int64]
    symbols: NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One ECG.

    Attributes:
        signal: float32, shape (leads, samples), millivolts (see ``unit``); NaN where nothing was recorded.
        fs: samples per second.
        leads: canonical lead names, one per row of ``signal``, all different.
        record_id: name of the record within its source.
        patient_id: None where the source does not tell.
        age: years; 90 stands for "over 89" where a source hides high ages.
        sex: ``"female"``, ``"male"`` or None.
        statements: coded findings and their likelihood in percent, None where the source states none.
        label_system: the code system of ``statements``: ``"scp"``, ``"snomed"``, ``"aha"`` or None.
        interpretation: what the device or an over-reader wrote in words, one statement each; never a target.
        beats: beat annotations, where the source has them.
        source: corpus or hospital.
        unit: ``"mV"``, or ``"normalised"`` for sets published without a unit.
        notes: what the reader assumed or found odd, one sentence each, to be shown to the user.

    Raises:
        RecordError: the parts contradict each other.
    """

    signal: NDArray[np.float32]
    fs: float
    leads: tuple[str, ...]
    record_id: str = ""
    patient_id: str | None = None
    age: float | None = None
    sex: Literal["female", "male"] | None = None
    statements: Mapping[str, float | None] = field(default_factory=dict)
    label_system: str | None = None
    interpretation: tuple[str, ...] = ()
    beats: Beats | None = None
    source: str = ""
    unit: Unit = "mV"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = self.record_id or "record"
        if self.signal.ndim != 2 or self.signal.dtype != np.float32:
            raise RecordError(
                f"{name}: the signal must be float32 of shape (leads, samples), "
                f"got {self.signal.dtype} of shape {self.signal.shape}"
            )
        if len(self.leads) != self.signal.shape[0]:
            raise RecordError(f"{name}: {len(self.leads)} lead names for {self.signal.shape[0]} signals")
        if len(set(self.leads)) != len(self.leads):
            twice = sorted({lead for lead in self.leads if self.leads.count(lead) > 1})
            raise RecordError(f"{name}: lead names repeat: {', '.join(twice)}")
        if not (np.isfinite(self.fs) and self.fs > 0):
            raise RecordError(f"{name}: the sampling rate must be a positive number of Hz, got {self.fs}")

    @property
    def n_samples(self) -> int:
        """Samples per lead."""
        return self.signal.shape[1]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.fs

    def lead(self, name: str) -> Record:
        """Return a record of one lead.

        Raises:
            RecordError: there is no such lead.
        """
        if name not in self.leads:
            raise RecordError(f"{self.record_id or 'record'}: no lead {name}; it has {', '.join(self.leads)}")
        row = self.leads.index(name)
        return replace(self, signal=self.signal[row : row + 1], leads=(name,))

    def with_(self, **changes: Any) -> Record:
        """Return a copy with some attributes changed."""
        return replace(self, **changes)
