"""Synthetic recordings in memory: who they belong to, in which fold they are, and one on demand.

One idea: recording k of a seed is always the same, in the same fold, whatever number was asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora.synthetic.epidemiology import Visit
from einthoven.corpora.synthetic.pathologies import STATEMENTS, superclasses_of
from einthoven.corpora.synthetic.population import Patient, draw_patient
from einthoven.corpora.synthetic.render import decimate, render_visit
from einthoven.errors import DatasetError, nearest
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

__all__ = ["Recording", "SyntheticSet", "example_record", "recordings", "synthesize_records"]

N_FOLDS = 10
_RATES = (100, 500)


@dataclass(frozen=True, slots=True)
class Recording:
    """One strip to be rendered: its number from 1, patient, visit and fold."""

    ecg_id: int
    patient: Patient
    visit_number: int
    fold: int
    seed: int

    @property
    def visit(self) -> Visit:
        """What the heart has and how it beats in this recording."""
        return self.patient.visits[self.visit_number]

    def render(self, noise: float = 1.0) -> NDArray[np.float32]:
        """The strip at 500 Hz with its margins, to be cut and decimated by ``decimate``."""
        rng = np.random.default_rng([self.seed, self.patient.number, self.visit_number])
        return render_visit(self.patient, self.visit, rng, noise)


@dataclass(slots=True)
class _Folds:
    """Gives each patient the fold that has least of what the patient brings, rare statements counting most."""

    seen: dict[str, NDArray[np.float64]] = field(default_factory=lambda: defaultdict(lambda: np.zeros(N_FOLDS)))

    def assign(self, patient: Patient) -> int:
        """Fold 1-10; depends on the patients before this one only."""
        labels = sorted({*patient.codes, *superclasses_of(patient.codes), "all", "sex" * patient.female})
        crowding = sum((self.seen[name] / (1.0 + self.seen[name].sum()) for name in labels), np.zeros(N_FOLDS))
        fold = int(np.argmin(crowding + 1e-9 * self.seen["all"]))
        for visit in patient.visits:
            for name in {*visit.codes, *superclasses_of(visit.codes), "all", "sex" * patient.female}:
                self.seen[name][fold] += 1
        return fold + 1


def recordings(n_records: int, seed: int = 0) -> Iterator[Recording]:
    """The first ``n_records`` recordings of a population, patient by patient.

    Raises:
        DatasetError: fewer than one record asked for, or a negative seed.
    """
    if n_records < 1 or seed < 0:
        raise DatasetError(f"asked for {n_records} records of seed {seed}; there must be at least 1, seeds from 0")
    folds, ecg_id, number = _Folds(), 0, 0
    while True:
        patient = draw_patient(seed, number)
        fold, number = folds.assign(patient), number + 1
        for visit in range(len(patient.visits)):
            ecg_id += 1
            yield Recording(ecg_id, patient, visit, fold, seed)
            if ecg_id == n_records:
                return


@dataclass(frozen=True, slots=True)
class SyntheticSet:
    """Recordings and their signals, float32 mV of shape (n, 12, samples), leads as in ``TWELVE_LEADS``."""

    signals: NDArray[np.float32]
    recordings: tuple[Recording, ...]
    fs: int

    @property
    def codes(self) -> list[set[str]]:
        """Statements of every recording."""
        return [set(one.visit.codes) for one in self.recordings]

    def targets(self, superclasses: tuple[str, ...] = ("NORM", "MI", "STTC", "CD", "HYP")) -> NDArray[np.float32]:
        """Which superclasses every recording has, 0 or 1, shape (n, classes)."""
        found = [superclasses_of(codes) for codes in self.codes]
        return np.array([[name in one for name in superclasses] for one in found], np.float32)


def check_rate(fs: int) -> int:
    """Return ``fs`` where the corpus can be made at it.

    Raises:
        DatasetError: another rate.
    """
    if fs not in _RATES:
        raise DatasetError(f"synthetic ECGs are made at 100 or 500 Hz, not at {fs} Hz; resample them afterwards")
    return fs


def synthesize_records(n_records: int, seed: int = 0, fs: int = 100, noise: float = 1.0) -> SyntheticSet:
    """The first recordings of a population, in memory.

    Args:
        n_records: how many.
        seed: which population.
        fs: 100 or 500 Hz.
        noise: factor on everything that is not the heart; 0 gives hearts alone.

    Raises:
        DatasetError: a number, seed or rate that cannot be.
    """
    check_rate(fs)
    chosen = tuple(recordings(n_records, seed))
    return SyntheticSet(np.stack([decimate(one.render(noise), fs) for one in chosen]), chosen, fs)


def example_record(code: str, severity: float = 1.0, seed: int = 0, fs: int = 500, noise: float = 1.0) -> Record:
    """One ECG that shows a statement and nothing else that is wrong.

    The same seed gives the same person, of 50 to 80 years, at every severity and for every statement.

    Args:
        code: an SCP code of ``STATEMENTS``.
        severity: 0 none, 1 the textbook.
        seed: which person.
        fs: 100 or 500 Hz.
        noise: factor on everything that is not the heart.

    Raises:
        DatasetError: an unknown statement or rate.

    >>> example_record("CLBBB", seed=3).statements
    {'CLBBB': 100.0, 'SR': 0.0}
    """
    if code not in STATEMENTS:
        raise DatasetError(
            f"no synthetic ECG for {code!r}{nearest(code, STATEMENTS)}; there is one for {', '.join(STATEMENTS)}"
        )
    check_rate(fs)
    person = next(one for one in (draw_patient(seed, k) for k in count()) if 50 <= one.age <= 80)
    visit = _example_visit(code, severity, person.age)
    strip = decimate(render_visit(person, visit, np.random.default_rng([seed, 0, 0]), noise), fs)
    return Record(
        signal=strip,
        fs=float(fs),
        leads=TWELVE_LEADS,
        record_id=f"synthetic-{code}-{seed}",
        patient_id=str(seed),
        age=float(person.age),
        sex="female" if person.female else "male",
        statements=visit.codes,
        label_system="scp",
        source="synthetic",
        notes=("A synthetic ECG from a dipole model, no patient.",),
    )


_RATE = {"SBRAD": 46.0, "STACH": 112.0, "AFIB": 88.0}


def _example_visit(code: str, severity: float, age: int) -> Visit:
    kind = STATEMENTS[code].kind
    rhythm = code if kind == "rhythm" else "SR"
    premature = {"PVC": {"V": 2}, "PAC": {"S": 2}}.get(code, {})
    has = {code: severity} if STATEMENTS[code].effects else {}
    stated = {code: 100.0 if kind.startswith("diagnostic") else 0.0, rhythm: 0.0}
    return Visit(stated, has, rhythm, _RATE.get(code, 66.0), 0.11 if code == "SARRH" else 0.02, premature, age)
