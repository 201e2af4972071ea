"""A beating heart seen from twelve leads: dipoles that grow and fade at places in the chest.

One idea: every deflection is a current dipole at a site, and a lead is how that site is seen from its electrodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FS", "WAVES", "Heart", "Torso", "Wave", "lead_weights", "normal_heart", "time_courses", "wave_index"]

FS = 500  # Hz; everything is rendered at this rate
QRS_ONSET_MS = -42.0  # of a QRS of normal width, from its own zero
ST_WINDOW, QRS_WINDOW, P_WINDOW = (-0.06, 0.74), (-0.14, 0.24), (-0.04, 0.20)  # seconds around a group's zero


class Wave(NamedTuple):
    """One deflection: an asymmetric Gaussian in time of a dipole moment (mV, left, foot, back) at a site.

    Times are milliseconds from the zero of its group: the onset of P, the peak of QRS, and for the ST-T group the
    peak of QRS at a heart rate of 60 per minute.
    """

    name: str
    group: str
    centre: float
    rise: float
    fall: float
    moment: tuple[float, float, float]
    site: str


WAVES = (
    Wave("ra", "P", 34, 15, 18, (0.050, 0.085, -0.036), "right atrium"),
    Wave("la", "P", 66, 19, 18, (0.100, 0.045, 0.036), "left atrium"),
    Wave("delta", "QRS", -30, 14, 15, (0.0, 0.0, 0.0), "lateral"),
    Wave("septal", "QRS", -19, 6.5, 7.5, (-0.11, 0.02, -0.18), "septum"),
    Wave("anterior", "QRS", -6, 7.5, 7.5, (0.46, 0.24, -0.29), "anterior"),
    Wave("lateral", "QRS", 3, 7.5, 8.5, (0.93, 0.41, 0.34), "lateral"),
    Wave("posterior", "QRS", 13, 8.5, 9, (0.20, 0.02, 0.80), "base"),
    Wave("terminal", "QRS", 26, 7.5, 8.5, (-0.10, -0.07, 0.20), "base"),
    Wave("notch", "QRS", 24, 9, 12, (0.0, 0.0, 0.0), "lateral"),
    Wave("rv_late", "QRS", 44, 13, 18, (0.0, 0.0, 0.0), "right ventricle"),
    Wave("st_early", "T", 58, 16, 70, (0.0, 0.0, -0.05), "anterior"),
    Wave("st_late", "T", 165, 55, 55, (0.02, 0.01, -0.06), "recovery"),
    Wave("t_rise", "T", 246, 48, 44, (0.17, 0.09, -0.18), "recovery"),
    Wave("t_peak", "T", 288, 46, 36, (0.26, 0.11, -0.15), "recovery"),
    Wave("u", "T", 455, 30, 40, (0.006, 0.006, -0.016), "recovery"),
)
_GROUP = np.array([wave.group for wave in WAVES])
_INDEX = {wave.name: k for k, wave in enumerate(WAVES)}
_SITES = {  # centimetres from the electrical centre of the heart: left, foot, back
    "recovery": (-1.0, -1.0, 0.0),
    "septum": (-1.0, 0.5, -1.5),
    "anterior": (1.5, 0.0, -3.5),
    "lateral": (3.5, 0.0, 1.0),
    "inferior": (1.0, 3.5, 1.0),
    "base": (1.0, -1.0, 3.0),
    "right ventricle": (-2.5, 1.0, -3.0),
    "right atrium": (-4.0, -1.0, 0.0),
    "left atrium": (-0.5, -2.0, 3.5),
}
_SITE_OF_WAVE = np.array([_SITES[wave.site] for wave in WAVES])
# Electrodes V1-V6 on the chest of an adult, same frame.
_CHEST = np.array([(-5, -1, -9), (0, -1, -9.5), (3.5, 0.5, -9.5), (7, 2, -8.5), (10.5, 2, -5), (12.5, 2, 0)], float)
# Inverse of the Dower transform, Frank X, Y, Z to I, II, V1-V6 (Edenbrandt & Pahlm, J Electrocardiol 1988).
_DOWER = np.array(
    [
        (0.720, -0.210, 0.059),
        (0.250, 0.860, -0.132),
        (-0.515, 0.157, -0.917),
        (0.044, 0.164, -1.387),
        (0.882, 0.098, -1.277),
        (1.213, 0.127, -0.601),
        (1.125, 0.127, -0.086),
        (0.831, 0.076, 0.230),
    ]
)


def wave_index(target: str) -> NDArray[np.intp]:
    """Rows of ``WAVES`` that a wave name or a group name (``"P"``, ``"QRS"``, ``"T"``) stands for."""
    return np.array([_INDEX[target]]) if target in _INDEX else np.flatnonzero(target == _GROUP)


@dataclass(slots=True)
class Heart:
    """The deflections of one kind of beat; arrays have one row per wave of ``WAVES``.

    Attributes:
        moment: dipole moments in mV, shape (waves, 3): left, foot, back.
        centre: time of the peak in ms from the group's zero.
        rise: standard deviation before the peak in ms.
        fall: standard deviation after the peak in ms.
        pr_ms: onset of P to onset of QRS.
        qt: factor on the times of the ST-T group.
        sway: how far a beat differs from the next in amplitude, as a fraction.
    """

    moment: NDArray[np.float64]
    centre: NDArray[np.float64]
    rise: NDArray[np.float64]
    fall: NDArray[np.float64]
    pr_ms: float = 155.0
    qt: float = 1.0
    sway: float = 0.02

    def copy(self) -> Heart:
        """An independent copy."""
        arrays = (self.moment.copy(), self.centre.copy(), self.rise.copy(), self.fall.copy())
        return Heart(*arrays, self.pr_ms, self.qt, self.sway)

    def widen(self, target: str, factor: float) -> None:
        """Stretch a group in time from its onset: slow conduction."""
        rows = wave_index(target)
        onset = QRS_ONSET_MS if WAVES[rows[0]].group == "QRS" else 0.0
        self.centre[rows] = onset + (self.centre[rows] - onset) * factor
        self.rise[rows] *= factor
        self.fall[rows] *= factor

    def qrs_area(self) -> NDArray[np.float64]:
        """Time integral of the QRS dipole in mV ms, shape (3,)."""
        rows = wave_index("QRS")
        return np.sqrt(np.pi / 2) * ((self.rise[rows] + self.fall[rows]) @ self.moment[rows])


def normal_heart() -> Heart:
    """The average healthy adult, before any variation."""
    return Heart(
        np.array([wave.moment for wave in WAVES]),
        np.array([wave.centre for wave in WAVES], float),
        np.array([wave.rise for wave in WAVES], float),
        np.array([wave.fall for wave in WAVES], float),
    )


@dataclass(frozen=True, slots=True)
class Torso:
    """How one chest carries the field of its heart to the electrodes.

    Attributes:
        roll_deg: turn of the heart in the frontal plane; positive moves the electrical axis clockwise, to the foot.
        yaw_deg: turn about the long axis of the body; positive moves the R/S transition towards V6.
        pitch_deg: tilt forwards.
        gain: factor per lead I, II, V1-V6.
        chest_cm: displacement of the chest electrodes, shape (6, 3).
    """

    roll_deg: float
    yaw_deg: float
    pitch_deg: float
    gain: NDArray[np.float64]
    chest_cm: NDArray[np.float64]

    def rotation(self, roll_deg: float = 0.0, pitch_deg: float = 0.0) -> NDArray[np.float64]:
        """Rotation matrix of the heart, with an extra turn such as breathing gives it."""
        roll, yaw, pitch = np.radians([self.roll_deg + roll_deg, self.yaw_deg, self.pitch_deg + pitch_deg])
        c, s = np.cos(roll), np.sin(roll)
        about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        c, s = np.cos(yaw), np.sin(yaw)
        about_y = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        c, s = np.cos(pitch), np.sin(pitch)
        about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        return about_z @ about_y @ about_x


def _unit(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def lead_weights(heart: Heart, torso: Torso, roll_deg: float = 0.0, pitch_deg: float = 0.0) -> NDArray[np.float64]:
    """What each wave writes into leads I, II, V1-V6, in mV at its peak, shape (waves, 8).

    The limb leads see one dipole at the centre. A chest electrode is near: its lead vector grows as the source comes
    nearer and turns with the line of sight, so that hearts are not dipoles for V1-V6.
    """
    rotation = torso.rotation(roll_deg, pitch_deg)
    moments, sites = heart.moment @ rotation.T, _SITE_OF_WAVE @ rotation.T
    electrodes = _CHEST + torso.chest_cm
    sight = electrodes - sites[:, None, :]  # (waves, 6, 3)
    distance = np.linalg.norm(sight, axis=-1, keepdims=True)
    central = np.linalg.norm(electrodes, axis=-1, keepdims=True)
    strength = np.linalg.norm(_DOWER[2:], axis=-1, keepdims=True)
    turned = _unit(_DOWER[2:] / strength + sight / distance - electrodes / central)
    near = strength * (central / distance) ** 1.5 * turned
    chest = np.einsum("wli,wi->wl", near, moments)
    weights: NDArray[np.float64] = np.concatenate([moments @ _DOWER[:2].T, chest], axis=1) * torso.gain
    return weights


def _add_group(
    courses: NDArray[np.float32],
    heart: Heart,
    rows: NDArray[np.intp],
    zeros_s: NDArray[np.float64],
    stretch: NDArray[np.float64],
    size: NDArray[np.float64],
    window: tuple[float, float],
) -> None:
    """Add one group's asymmetric Gaussians for all beats; ``zeros_s`` is the group's zero in every beat."""
    n_samples = courses.shape[1]
    width = round((window[1] - window[0]) * FS)
    first = np.round((zeros_s + window[0]) * FS).astype(int)
    grid = (first[:, None] + np.arange(width)) / FS - zeros_s[:, None]  # (beats, width) seconds
    t = (1000.0 * grid / stretch[:, None]).astype(np.float32)[None]
    late = t - heart.centre[rows, None, None].astype(np.float32)
    spread = np.where(late < 0, heart.rise[rows, None, None], heart.fall[rows, None, None]).astype(np.float32)
    shape = np.exp(-0.5 * (late / spread) ** 2) * size[None, :, None].astype(np.float32)
    for beat, start in enumerate(first):
        left, right = max(start, 0), min(start + width, n_samples)
        if left < right:
            courses[rows, left:right] += shape[:, beat, left - start : right - start]


def time_courses(
    heart: Heart, beats_s: Sequence[float] | NDArray[np.float64], rr_s: NDArray[np.float64], n_samples: int,
    rng: np.random.Generator, atria: bool = True,
) -> NDArray[np.float32]:  # fmt: skip
    """Activity of every wave over time, shape (waves, samples) at 500 Hz, 1 at a wave's full size.

    Args:
        heart: the deflections of one beat.
        beats_s: times of the QRS peaks in seconds.
        rr_s: the interval that rules repolarisation in every beat, seconds; QT follows its cube root
            (Fridericia, Acta Med Scand 1920).
        n_samples: length.
        rng: source of the small differences between beats.
        atria: whether a P wave precedes the beats.
    """
    courses = np.zeros((len(WAVES), n_samples), np.float32)
    beats = np.asarray(beats_s, float)
    if len(beats) == 0:
        return courses
    size = 1 + heart.sway * rng.standard_normal((3, len(beats)))
    ones = np.ones(len(beats))
    _add_group(courses, heart, wave_index("QRS"), beats, ones, size[0], QRS_WINDOW)
    # A wide QRS delays what follows it.
    delay = (heart.centre[_INDEX["terminal"]] - WAVES[_INDEX["terminal"]].centre) / 1000
    stretch = heart.qt * np.clip(rr_s, 0.3, 1.6) ** (1 / 3)
    _add_group(courses, heart, wave_index("T"), beats + delay, stretch, size[1], ST_WINDOW)
    if atria:
        onset = beats + (QRS_ONSET_MS - heart.pr_ms) / 1000
        _add_group(courses, heart, wave_index("P"), onset, ones, size[2], P_WINDOW)
    return courses
