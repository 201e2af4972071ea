"""Which findings come together, at which age, in whom; and what the reader of an ECG writes down.

One idea: diseases are drawn one after another, each with its odds given age, sex and those already there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from einthoven.corpora.synthetic.pathologies import STATEMENTS

__all__ = ["Visit", "draw_codes", "draw_visit"]

# Share of wholly normal ECGs by age, and of men: PTB-XL, folds 1-8.
_AGE_KNOTS = (0, 25, 35, 45, 55, 65, 75, 85, 95)
_NORMAL_SHARE = (0.92, 0.84, 0.76, 0.64, 0.47, 0.35, 0.27, 0.20, 0.14)

# Chance of a statement in an abnormal ECG at 65 years, its rise per decade (odds ratio) and its odds ratio in women.
_RISK = {
    "CLBBB": (0.042, 1.15, 0.80),
    "IMI": (0.225, 1.10, 0.55),
    "ASMI": (0.165, 1.20, 0.80),
    "ILMI": (0.052, 1.00, 0.40),
    "AMI": (0.028, 1.10, 0.90),
    "ALMI": (0.034, 0.95, 0.45),
    "LMI": (0.016, 1.00, 0.70),
    "IPLMI": (0.004, 1.20, 0.50),
    "IPMI": (0.003, 1.20, 0.70),
    "PMI": (0.002, 1.20, 0.70),
    "INJAS": (0.017, 1.00, 1.10),
    "INJAL": (0.008, 1.00, 0.70),
    "INJIN": (0.002, 1.30, 1.20),
    "LVH": (0.178, 1.05, 0.90),
    "LAO/LAE": (0.017, 1.10, 0.70),
    "RVH": (0.008, 0.90, 0.55),
    "RAO/RAE": (0.008, 0.85, 1.40),
    "SEHYP": (0.003, 0.85, 0.80),
    "NDT": (0.150, 1.05, 1.30),
    "NST_": (0.038, 1.20, 1.60),
    "ISC_": (0.012, 1.15, 1.00),
    "ISCAL": (0.062, 1.10, 1.00),
    "ISCIN": (0.017, 1.00, 1.00),
    "ISCIL": (0.014, 1.15, 1.10),
    "ISCAS": (0.013, 0.95, 2.00),
    "ISCLA": (0.011, 1.00, 1.00),
    "ISCAN": (0.004, 1.10, 1.30),
    "DIG": (0.004, 1.70, 2.00),
    "LNGQT": (0.010, 1.00, 1.30),
    "EL": (0.007, 1.20, 2.50),
    "ANEUR": (0.003, 1.20, 0.60),
    "LAFB": (0.115, 1.25, 0.65),
    "LPFB": (0.010, 0.95, 0.45),
    "IRBBB": (0.070, 0.90, 0.60),
    "IVCD": (0.052, 1.05, 0.55),
    "CRBBB": (0.032, 1.30, 0.45),
    "ILBBB": (0.007, 1.05, 0.35),
    "1AVB": (0.032, 1.35, 0.65),
    "WPW": (0.004, 0.55, 0.90),
}
# What comes together: (given, then, odds ratio). The given one is drawn first, in the order of ``_RISK``.
_TOGETHER = {
    ("LVH", "ISC_"): 85.0,
    ("LVH", "LAO/LAE"): 3.0,
    ("LVH", "NDT"): 0.35,
    ("ASMI", "LAFB"): 3.0,
    ("ASMI", "CRBBB"): 2.6,
    ("ASMI", "1AVB"): 2.0,
    ("IMI", "ASMI"): 1.0,
    ("ASMI", "ILMI"): 1.5,
    ("IMI", "LAFB"): 0.55,
    ("IMI", "NDT"): 0.35,
    ("ASMI", "NDT"): 0.25,
    ("IMI", "LVH"): 0.65,
    ("INJAS", "INJAL"): 25.0,
    ("INJAS", "LVH"): 1.2,
    ("RVH", "CRBBB"): 14.0,
    ("RVH", "IRBBB"): 9.0,
    ("RVH", "LPFB"): 14.0,
    ("LPFB", "CRBBB"): 8.0,
    ("LAFB", "CRBBB"): 4.0,
    ("LAFB", "1AVB"): 2.0,
    ("CLBBB", "1AVB"): 3.0,
    ("CRBBB", "1AVB"): 2.5,
    ("LAO/LAE", "1AVB"): 4.0,
    ("CLBBB", "LAO/LAE"): 4.0,
    ("NDT", "NST_"): 0.3,
    ("NDT", "ISCAL"): 0.1,
    ("LNGQT", "EL"): 8.0,
}
# One ECG carries at most one of each: they describe the same thing.
_EXCLUSIVE = (
    ("CLBBB", "CRBBB", "IRBBB", "ILBBB", "IVCD", "WPW"),
    ("CLBBB", "LAFB", "LPFB"),
    ("CLBBB", "IMI"),
    ("CLBBB", "ASMI"),
    ("CLBBB", "ISCAL"),
    ("CLBBB", "NDT"),
    ("CLBBB", "LVH"),
    ("CLBBB", "ISC_"),
    ("IMI", "ILMI", "IPLMI", "IPMI", "INJIN"),
    ("ASMI", "AMI", "ALMI", "INJAS"),
    ("ALMI", "LMI"),
    ("ISC_", "ISCAL", "ISCIL", "ISCLA", "NST_", "DIG"),
    ("ISCIN", "ISCIL"),
    ("ISCAS", "ISCAN"),
    ("WPW", "1AVB"),
)
# Odds ratio of atrial fibrillation.
_FIBRILLATES = {"LVH": 1.8, "NST_": 8.0, "DIG": 25.0, "ISC_": 2.0, "ASMI": 1.6, "IMI": 1.2, "NDT": 1.7, "CRBBB": 1.8}
_PREMATURE = (("V", "PVC", 100.0), ("S", "PAC", 0.0))
# A second statement that describes what a first one shows: (first, second, chance).
_DESCRIBED = (
    ("IMI", "ABQRS", 0.55), ("ASMI", "ABQRS", 0.50), ("ILMI", "ABQRS", 0.60), ("ALMI", "ABQRS", 0.50),
    ("AMI", "ABQRS", 0.45), ("WPW", "ABQRS", 0.55), ("CRBBB", "ABQRS", 0.20), ("IVCD", "ABQRS", 0.2),
    ("IMI", "QWAVE", 0.10), ("ASMI", "QWAVE", 0.08), ("LVH", "VCLVH", 0.31), ("ISC_", "STD_", 0.27),
    ("DIG", "STD_", 0.65), ("NST_", "STD_", 0.10), ("ISCAL", "STD_", 0.14), ("NDT", "LOWT", 0.10),
    ("DIG", "LOWT", 0.35), ("ISC_", "INVT", 0.08), ("INJAS", "INVT", 0.15), ("1AVB", "LPR", 0.15),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visit:
    """One recording of a patient before it is rendered.

    Attributes:
        codes: statements and their likelihood in percent.
        severity: what the heart really has, stated or not: severity by statement.
        rhythm: SCP code of the rhythm.
        rate: beats per minute.
        hrv: relative spread of the sinus intervals.
        premature: premature beats by kind.
        age: years at this recording.
    """

    codes: dict[str, float]
    severity: dict[str, float]
    rhythm: str
    rate: float
    hrv: float
    premature: dict[str, int]
    age: int


def _chance(base: float, *odds_ratios: float) -> float:
    odds = base / (1 - base) * float(np.prod(odds_ratios))
    return odds / (1 + odds)


def _excluded(code: str, chosen: list[str]) -> bool:
    return any(code in group and any(other in group for other in chosen) for group in _EXCLUSIVE)


def _diseases(age: float, female: bool, rng: np.random.Generator) -> list[str]:
    """Statements of an abnormal ECG: drawn until there is one."""
    while True:
        chosen: list[str] = []
        for code, (base, per_decade, women) in _RISK.items():
            together = [_TOGETHER.get((given, code), 1.0) for given in chosen]
            sex = women if female else 1.0
            chance = _chance(base, per_decade ** ((age - 65) / 10), sex, *together)
            if rng.random() < 0.86 * chance and not _excluded(code, chosen):
                chosen.append(code)
        if chosen:
            return chosen


def draw_codes(age: int, female: bool, rng: np.random.Generator) -> list[str]:
    """What somebody of an age and sex truly has: ``NORM``, perhaps with a harmless delay, or diseases."""
    if rng.random() < 0.98 * np.interp(age, _AGE_KNOTS, _NORMAL_SHARE):
        return ["NORM", *[code for code, chance in (("IRBBB", 0.028), ("IVCD", 0.011)) if rng.random() < chance][:1]]
    return _diseases(age, female, rng)


def _severities(codes: list[str], age: float, rng: np.random.Generator) -> dict[str, float]:
    """Severity of what is stated, and traces of what is not: readers draw the line at different places."""
    severity = {code: float(0.25 + 1.05 * rng.beta(2.2, 2.0)) for code in codes if code != "NORM"}
    severity |= {code: 0.65 + 0.45 * severity[code] / 1.3 for code in ("CLBBB", "CRBBB") if code in severity}
    traces = ("NDT", "IRBBB", "LAFB", "LVH", "IMI", "ASMI", "NST_", "1AVB", "LAO/LAE", "IVCD", "ISCAL")
    weight = 0.14 if "NORM" in codes else 0.28
    for code in traces:
        if code not in codes and not _excluded(code, codes) and rng.random() < weight * (0.4 + age / 100):
            severity[code] = float(0.5 * rng.beta(1.2, 2.2))
    return severity


def _rhythm(codes: list[str], age: float, rng: np.random.Generator) -> tuple[str, float, float]:
    """Rhythm, rate and relative spread of intervals."""
    old = (age - 65) / 10
    normal = "NORM" in codes
    ratios = [_FIBRILLATES.get(code, 1.0) for code in codes]
    if not normal and not {"WPW", "1AVB"} & set(codes) and rng.random() < _chance(0.085, 1.35**old, *ratios):
        return ("AFIB", float(np.clip(rng.normal(92, 23), 48, 170)), 0.0)
    if not normal and rng.random() < 0.007:
        return ("AFLT", 80.0, 0.0)
    rate = float(np.exp(rng.normal(np.log(68.5 if normal else 73.0), 0.17 if normal else 0.215)))
    hrv = float(np.exp(rng.normal(np.log(0.020), 0.65))) * (1.0 + max(0.0, (45 - age) / 50))
    if rng.random() < 0.02:
        hrv = float(rng.uniform(0.08, 0.16))
    if rate < 54 and rng.random() < 0.45:
        return ("SBRAD", max(rate, 38.0), hrv)
    if rate > 99 and rng.random() < 0.85:
        return ("STACH", min(rate, 150.0), 0.4 * min(hrv, 0.05))
    return ("SARRH" if hrv > 0.085 else "SR", float(np.clip(rate, 40, 140)), hrv)


def _premature(normal: bool, age: float, rng: np.random.Generator) -> dict[str, int]:
    scale = (0.4 if normal else 1.5) * min(age / 65, 1.4)
    found = {}
    if rng.random() < 0.05 * scale:
        found["V"] = int(rng.geometric(0.55))
    if rng.random() < 0.022 * scale:
        found["S"] = int(rng.geometric(0.6))
    return found


def _likelihood(code: str, severity: float, rng: np.random.Generator) -> float:
    """Percent, as PTB-XL states it: readers are sure of blocks, less so of infarcts."""
    row = STATEMENTS[code]
    if not row.superclass:
        return 0.0
    if code == "NORM":
        return float(rng.choice([80.0, 100.0], p=(0.17, 0.83)))
    if row.superclass == "CD":
        return 100.0
    doubtful = np.clip(1.0 - severity, 0.1, 0.8)
    return float(rng.choice([15.0, 35.0, 50.0, 80.0])) if rng.random() < doubtful else 100.0


def _statements(codes: list[str], severity: dict[str, float], rhythm: str, premature: dict[str, int],
                rng: np.random.Generator) -> dict[str, float]:  # fmt: skip
    stated = {code: _likelihood(code, severity.get(code, 1.0), rng) for code in codes}
    stated |= {second: 0.0 for first, second, chance in _DESCRIBED if first in codes and rng.random() < chance}
    if rhythm != "SR" or rng.random() < 0.93:
        stated[rhythm] = 0.0
    return stated | {code: likelihood for kind, code, likelihood in _PREMATURE if kind in premature}


def _misread(codes: list[str], severity: dict[str, float], rng: np.random.Generator) -> list[str]:
    """What the reader writes: mild findings are missed, strong traces are named, some normals are called NDT."""
    kept = [code for code in codes if code == "NORM" or rng.random() > 0.30 * max(0.0, 0.7 - severity[code]) / 0.7]
    named = [code for code in severity if code not in codes and rng.random() < 0.8 * max(0.0, severity[code] - 0.25)]
    if "NORM" in kept and any(STATEMENTS[code].superclass != "CD" for code in named):
        kept.remove("NORM")
    return kept + named or ["NORM"]


def draw_visit(codes: list[str], age: int, rng: np.random.Generator) -> Visit:
    """One recording of somebody of an age who has some findings; one in 75 has a pacemaker instead."""
    if rng.random() < 0.0136 and age > 35:
        return Visit({"PACE": 0.0}, {}, "PACE", float(rng.uniform(60, 76)), 0.0, {}, age)
    severity = _severities(codes, age, rng)
    rhythm, rate, hrv = _rhythm(codes, age, rng)
    premature = _premature("NORM" in codes, age, rng) if rhythm != "AFLT" else {}
    stated = _statements(_misread(codes, severity, rng), severity, rhythm, premature, rng)
    return Visit(stated, severity, rhythm, rate, hrv, premature, age)
