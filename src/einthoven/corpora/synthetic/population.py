"""Who is in the synthetic hospital: hearts and chests that differ as those of healthy people do.

One idea: a patient is drawn from (seed, number) alone, so the first n records never depend on how many follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from einthoven.corpora.synthetic.epidemiology import Visit, draw_codes, draw_visit
from einthoven.corpora.synthetic.heart import Heart, Torso, normal_heart, wave_index
from einthoven.corpora.synthetic.pathologies import STATEMENTS, apply_statement

__all__ = ["Patient", "diseased_heart", "draw_patient", "normal_variation"]

_VISITS = (0.887, 0.084, 0.019, 0.010)  # share of patients with one, two, three and four recordings


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient: facts, heart in health, chest, and recordings.

    Attributes:
        number: position in the population, from 0.
        age: years at the first recording.
        female: sex.
        heart: the heart before any disease.
        torso: the chest.
        visits: one to four recordings.
    """

    number: int
    age: int
    female: bool
    heart: Heart
    torso: Torso
    visits: tuple[Visit, ...]

    @property
    def codes(self) -> set[str]:
        """Statements of all recordings."""
        return {code for visit in self.visits for code in visit.codes}


def normal_variation(age: float, female: bool, rng: np.random.Generator) -> tuple[Heart, Torso]:
    """A healthy heart in its chest: voltages, directions and intervals as different as those of healthy people."""
    heart = normal_heart()
    n = len(heart.moment)
    heart.moment *= np.exp(rng.normal(0, 0.15, (n, 1)))
    size = np.linalg.norm(heart.moment, axis=1, keepdims=True)
    heart.moment += 0.12 * size * rng.standard_normal((n, 3))
    for group, spread in (("P", 0.28), ("QRS", 0.16), ("T", 0.38)):
        heart.moment[wave_index(group)] *= np.exp(rng.normal(0, spread))
    # Repolarisation loses voltage with age, and women have a lower ST segment and T in V1-V3 (Surawicz 2002).
    heart.moment[wave_index("T")] *= np.clip(1.10 - 0.0055 * age, 0.58, 1.1)
    if female:
        heart.moment[wave_index("T")] *= (1.0, 1.0, 0.75)
        heart.moment[wave_index("QRS")] *= 0.93
    heart.moment[wave_index("QRS")] *= np.clip(1.12 - 0.002 * age, 0.9, 1.1)
    heart.centre[wave_index("QRS")] += rng.normal(0, 1.8, len(wave_index("QRS")))
    heart.widen("QRS", float(np.exp(rng.normal(-0.03 if female else 0.02, 0.09))))
    heart.widen("P", float(np.exp(rng.normal(0, 0.10))))
    heart.pr_ms = float(np.clip(rng.normal(148 + 0.18 * age, 19), 110, 205))
    heart.qt = float(np.exp(rng.normal(0.02 if female else -0.01, 0.045)))
    heart.sway = float(np.exp(rng.normal(np.log(0.02), 0.4)))
    torso = _torso(age, female, rng)
    # The axis of T varies less than that of QRS: it makes two fifths of the turn.
    turn = np.radians(-0.6 * torso.roll_deg)
    across, down, back = heart.moment[wave_index("T")].T
    heart.moment[wave_index("T")] = np.stack(
        [np.cos(turn) * across - np.sin(turn) * down, np.sin(turn) * across + np.cos(turn) * down, back], axis=1
    )
    if rng.random() < 0.35:
        direction = rng.standard_normal(3) * (0.10, 0.10, 0.10)
        heart.moment[wave_index("notch")] += direction
    return heart, torso


def _torso(age: float, female: bool, rng: np.random.Generator) -> Torso:
    smooth = np.cumsum(rng.normal(0, 0.07, 6))
    chest = rng.normal(0, 0.05, 6) + smooth - smooth.mean() - (0.06 if female else 0.0) * np.array([0, 0, 1, 1, 1, 0])
    build = rng.normal(0, 0.14)
    gain = np.exp(np.concatenate([np.full(2, rng.normal(0, 0.10)), chest]) + build)
    gain[[2, 4, 7]] *= (0.84, 0.90, 0.90)  # V1, V3, V6: what lung and breast take off, of voltages in health
    displaced = rng.normal(0, 0.8, (6, 3)) + rng.normal(0, 1.0, 3) * (0.5, 1.0, 0.0)
    roll = rng.normal(8 - 0.32 * (age - 54), 18)
    return Torso(float(roll), float(rng.normal(0.0, 10)), float(rng.normal(0, 9)), gain, displaced)


def draw_patient(seed: int, number: int) -> Patient:
    """Draw patient ``number`` of the population ``seed``."""
    rng = np.random.default_rng([seed, number])
    age = int(np.clip(round(rng.normal(62, 17) if rng.random() < 0.86 else rng.uniform(18, 60)), 10, 95))
    female = bool(rng.random() < 0.48)
    heart, torso = normal_variation(age, female, rng)
    codes = draw_codes(age, female, rng)
    n_visits = 1 + int(rng.choice(4, p=_VISITS))
    visits = tuple(draw_visit(codes, min(age + k, 95), rng) for k in range(n_visits))
    return Patient(number, age, female, heart, torso, visits)


def diseased_heart(patient: Patient, visit: Visit, rng: np.random.Generator) -> Heart:
    """The patient's heart with what it has at this visit."""
    heart = patient.heart.copy()
    sick = max((s for code, s in visit.severity.items() if STATEMENTS[code].superclass in ("MI", "HYP")), default=0.0)
    heart.moment[wave_index("T")] *= 1 - 0.2 * min(sick, 1.0)  # recovers with less voltage, wherever it is sick
    for code in STATEMENTS:
        if code in visit.severity:
            apply_statement(heart, code, visit.severity[code], rng)
    return heart
