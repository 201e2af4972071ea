"""What the synthetic corpus can state, and what each statement does to the heart.

One idea: a disease is a row of effects on the deflections of ``heart.WAVES``, in proportion to its severity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora.synthetic.heart import Heart, wave_index

__all__ = ["STATEMENTS", "Effect", "Statement", "apply_statement", "superclasses_of"]


class Effect(NamedTuple):
    """One change in proportion to severity.

    ``scale``: moments times the value; ``add``: the value (left, foot, back) in mV; ``widen``: times of a group
    stretched by the value; ``pr``: ms; ``qt``: factor; ``scatter``: a moment of random direction, mV.
    """

    verb: str
    target: str
    value: Any


class Statement(NamedTuple):
    """An SCP-ECG statement as PTB-XL's table has it, and its effects.

    Attributes:
        code: SCP code.
        description: as in ``scp_statements.csv``.
        kind: ``diagnostic``, ``form`` or ``rhythm`` (``diagnostic form`` for both).
        superclass: diagnostic class, empty for the others.
        subclass: diagnostic subclass, empty for the others.
        effects: what it does at severity 1.
        secondary: share of the change of QRS area that repolarisation answers with the opposite (Wilson's
            ventricular gradient: what is activated late recovers late).
        territory: direction of the infarcted or injured wall (left, foot, back), where there is one.
    """

    code: str
    description: str
    kind: str
    superclass: str = ""
    subclass: str = ""
    effects: tuple[Effect, ...] = ()
    secondary: float = 0.0
    territory: tuple[float, float, float] | None = None


def _scale(target: str, factor: float) -> Effect:
    return Effect("scale", target, factor)


def _add(target: str, left: float, foot: float, back: float) -> Effect:
    return Effect("add", target, (left, foot, back))


def _infarct(code: str, text: str, sub: str, wall: tuple[float, float, float], *effects: Effect) -> Statement:
    return Statement(code, f"{text} myocardial infarction", "diagnostic", "MI", sub, effects, 0.0, wall)


def _injury(code: str, where: str, sub: str, *effects: Effect) -> Statement:
    return Statement(code, f"subendocardial injury in {where} leads", "diagnostic", "MI", sub, effects)


def _stt(code: str, text: str, sub: str, *effects: Effect) -> Statement:
    return Statement(code, text, "diagnostic form", "STTC", sub, effects)


def _isc(code: str, where: str, sub: str, *effects: Effect) -> Statement:
    return Statement(code, f"ischemic in {where} leads", "diagnostic", "STTC", sub, effects)


def _block(code: str, text: str, sub: str, secondary: float, *effects: Effect) -> Statement:
    return Statement(code, text, "diagnostic", "CD", sub, effects, secondary)


def _hyp(code: str, text: str, secondary: float, *effects: Effect) -> Statement:
    return Statement(code, text, "diagnostic", "HYP", code, effects, secondary)


def _form(code: str, text: str, *effects: Effect) -> Statement:
    return Statement(code, text, "form", effects=effects)


_TABLE = (
    Statement("NORM", "normal ECG", "diagnostic", "NORM", "NORM"),
    # Infarction: the wall that is gone no longer points its way, so the rest of the heart wins (Q waves, lost R).
    _infarct("IMI", "inferior", "IMI", (0, 1, 0.2), _add("septal", 0.03, -0.28, 0), _add("anterior", 0.08, -0.26, 0.07),
             _add("lateral", 0.05, -0.24, 0)),
    _infarct("ASMI", "anteroseptal", "AMI", (0.8, 0, -0.6), _add("septal", 0.05, -0.03, 0.22),
             _add("anterior", -0.36, -0.12, 0.52), _add("lateral", -0.10, -0.04, 0.18), Effect("widen", "QRS", 1.06)),
    _infarct("AMI", "anterior", "AMI", (0.5, 0, -0.8), _add("septal", 0.0, 0.0, 0.12),
             _add("anterior", -0.05, -0.05, 0.20),
             _add("lateral", 0, 0, -0.1)),
    _infarct("ALMI", "anterolateral", "AMI", (1, 0, -0.3), _add("septal", -0.05, 0, 0.2),
             _add("anterior", -0.60, -0.15, 0.60), _add("lateral", -0.60, -0.1, 0.22), Effect("widen", "QRS", 1.15)),
    _infarct("ILMI", "inferolateral", "IMI", (1, 0.5, -0.1), _add("septal", 0, -0.25, 0),
             _add("anterior", -0.28, -0.28, 0), _add("lateral", -0.52, -0.26, 0), Effect("widen", "QRS", 1.1)),
    _infarct("LMI", "lateral", "LMI", (1, -0.1, 0.1), _add("septal", -0.15, 0, 0), _add("anterior", -0.30, 0.05, 0.06),
             _add("lateral", -0.34, 0.2, 0)),
    _infarct("IPLMI", "inferoposterolateral", "IMI", (0.5, 0.7, 0.6), _add("septal", -0.05, -0.25, 0),
             _add("anterior", -0.15, -0.25, -0.1), _add("lateral", -0.4, -0.2, -0.25), _add("posterior", 0, 0, -0.4)),
    _infarct("IPMI", "inferoposterior", "IMI", (0, 0.8, 0.7), _add("septal", 0, -0.25, -0.05),
             _add("anterior", 0, -0.22, -0.2), _add("posterior", 0, 0, -0.5)),
    _infarct("PMI", "posterior", "PMI", (0, 0.2, 1), _add("lateral", 0, 0, -0.25), _add("posterior", 0, 0, -0.6)),
    _injury("INJAS", "anteroseptal", "AMI", _add("st_early", -0.06, -0.04, 0.02), _add("st_late", -0.09, -0.04, 0.06),
            _add("t_rise", -0.30, -0.10, 0.26), _add("t_peak", -0.32, -0.10, 0.27)),
    _injury("INJAL", "anterolateral", "AMI", _add("st_early", -0.06, -0.03, 0.01), _add("st_late", -0.11, -0.04, 0.03),
            _add("t_rise", -0.34, -0.09, -0.01), _add("t_peak", -0.36, -0.09, -0.01)),
    _injury("INJIN", "inferior", "IMI", _add("st_early", 0, -0.12, 0), _add("st_late", 0, -0.18, 0),
            _add("t_rise", 0, -0.28, 0), _add("t_peak", 0, -0.28, 0)),
    # ST-T: primary changes of repolarisation.
    _stt("NDT", "non-diagnostic T abnormalities", "STTC", _scale("T", 0.62), _add("t_peak", -0.08, -0.03, 0.0)),
    _stt("NST_", "non-specific ST changes", "NST_", _scale("T", 0.68), _add("st_early", -0.05, -0.04, 0.01),
         _add("st_late", -0.05, -0.05, 0.01)),
    _stt("DIG", "digitalis-effect", "STTC", _scale("T", 0.5), _add("st_early", -0.06, -0.05, 0.00),
         _add("st_late", -0.12, -0.10, 0.00), Effect("qt", "", 0.90)),
    _stt("LNGQT", "long QT-interval", "STTC", _scale("T", 0.8), Effect("qt", "", 1.2)),
    _stt("EL", "electrolytic disturbance or drug (former EDIS)", "STTC", _scale("T", 0.5),
         _add("st_late", -0.06, -0.04, 0.02), _add("u", 0.05, 0.04, -0.07), Effect("qt", "", 1.08))._replace(
             kind="diagnostic"),
    _stt("ANEUR", "ST-T changes compatible with ventricular aneurysm", "STTC", _add("st_early", -0.05, -0.02, -0.12),
         _add("st_late", -0.05, -0.02, -0.14), _add("t_peak", -0.2, 0, 0.08))._replace(kind="diagnostic"),
    _isc("ISC_", "non-specific", "ISC_", _add("st_early", -0.08, -0.06, -0.03), _add("st_late", -0.11, -0.09, -0.04),
         _add("t_rise", -0.27, -0.14, -0.14), _add("t_peak", -0.27, -0.12, -0.14))._replace(
             description="non-specific ischemic"),
    _isc("ISCAL", "anterolateral", "ISCA", _add("st_early", -0.07, -0.02, 0.02), _add("st_late", -0.10, -0.03, 0.03),
         _add("t_rise", -0.26, -0.05, -0.02), _add("t_peak", -0.28, -0.05, -0.02)),
    _isc("ISCIN", "inferior", "ISCI", _add("st_early", 0, -0.07, 0), _add("st_late", 0, -0.10, 0),
         _add("t_rise", 0, -0.17, 0), _add("t_peak", 0, -0.18, 0)),
    _isc("ISCIL", "inferolateral", "ISCI", _add("st_early", -0.07, -0.06, 0), _add("st_late", -0.10, -0.10, 0.02),
         _add("t_rise", -0.2, -0.17, 0.06), _add("t_peak", -0.22, -0.17, 0.06)),
    _isc("ISCAS", "anteroseptal", "ISCA", _add("st_late", 0.0, 0, 0.06), _add("t_rise", -0.10, -0.02, 0.20),
         _add("t_peak", -0.14, -0.02, 0.22)),
    _isc("ISCAN", "anterior", "ISCA", _add("st_late", -0.03, 0, 0.1), _add("t_rise", -0.15, -0.02, 0.3),
         _add("t_peak", -0.2, -0.02, 0.3)),
    _isc("ISCLA", "lateral", "ISCA", _add("st_early", -0.06, 0, 0), _add("st_late", -0.10, 0, 0),
         _add("t_rise", -0.24, 0.02, 0.02), _add("t_peak", -0.26, 0.02, 0.02)),
    # Conduction: what is activated late is slow and unopposed; repolarisation answers by itself (secondary).
    _block("CLBBB", "complete left bundle branch block", "CLBBB", 0.60, Effect("widen", "QRS", 1.85),
           _add("septal", 0.25, 0.0, 0.28), _add("anterior", -0.45, -0.15, 1.00), _add("lateral", -0.62, -0.40, 1.05),
           _add("posterior", 0.35, -0.30, 0.80), _add("terminal", 0.52, -0.05, 0.40), _add("notch", 0.30, 0, 0.1),
           _add("t_rise", -0.18, 0, 0), _add("t_peak", -0.22, 0, 0)),
    _block("ILBBB", "incomplete left bundle branch block", "ILBBB", 0.7, Effect("widen", "QRS", 1.3),
           _add("septal", 0.24, 0.0, 0.24), _add("anterior", -0.15, -0.1, 0.5), _add("lateral", 0.0, -0.1, 0.45),
           _add("posterior", 0.35, -0.1, 0.4), _add("terminal", 0.3, 0, 0.1)),
    _block("CRBBB", "complete right bundle branch block", "CRBBB", 0.7, Effect("widen", "QRS", 1.12),
           _add("rv_late", -0.52, 0.02, -0.52), _scale("posterior", 0.05),
           _add("lateral", -0.18, 0, -0.42), _scale("terminal", 0.1)),
    _block("IRBBB", "incomplete right bundle branch block", "IRBBB", 0.8, Effect("widen", "QRS", 1.03),
           _add("rv_late", -0.22, -0.04, -0.14), _scale("posterior", 0.45),
           _scale("terminal", 0.4), _add("lateral", 0, 0, -0.12)),
    _block("LAFB", "left anterior fascicular block", "LAFB/LPFB", 0.25, _add("septal", -0.02, 0.16, 0),
           _add("anterior", -0.08, -0.06, 0.08), _add("lateral", -0.26, -0.56, -0.12),
           _add("posterior", -0.42, -0.56, -0.12),
           _add("terminal", -0.06, -0.28, 0.05), Effect("widen", "QRS", 1.12)),
    _block("LPFB", "left posterior fascicular block", "LAFB/LPFB", 0.25, _add("septal", 0.1, -0.12, 0),
           _add("lateral", -0.45, 0.12, 0.0), _add("posterior", -0.60, 0.25, -0.1), _add("terminal", -0.3, 0.2, -0.05),
           Effect("widen", "QRS", 1.12)),
    _block("IVCD", "non-specific intraventricular conduction disturbance (block)", "IVCD", 0.5,
           Effect("widen", "QRS", 1.32), _scale("QRS", 0.92), Effect("scatter", "notch", 0.35),
           _add("posterior", 0, 0, 0.12)),
    _block("1AVB", "first degree AV block", "_AVB", 0.0, Effect("pr", "", 85.0)),
    _block("WPW", "Wolf-Parkinson-White syndrome", "WPW", 0.55, Effect("pr", "", -45.0), Effect("widen", "QRS", 1.08),
           _add("delta", 0.34, -0.18, -0.34), _add("anterior", 0.12, -0.40, -0.45), _add("lateral", 0.10, -0.55, -0.40),
           _scale("septal", 0.2), _add("posterior", 0, -0.3, -0.6), Effect("scatter", "delta", 0.15)),
    # Hypertrophy: more muscle, more dipole, a little slower.
    _hyp("LVH", "left ventricular hypertrophy", 0.30, _scale("lateral", 2.10), _scale("anterior", 1.65),
         _scale("posterior", 1.80), _add("anterior", 0, 0, 0.18),
         _add("t_peak", 0, 0, -0.08), Effect("widen", "QRS", 1.07)),
    _hyp("RVH", "right ventricular hypertrophy", 0.5, _add("rv_late", -0.36, 0.10, -0.36), _scale("posterior", 0.35),
         _add("lateral", -0.35, 0.15, -0.40), _scale("ra", 1.2)),
    _hyp("SEHYP", "septal hypertrophy", 0.3, _scale("septal", 2.6), _scale("lateral", 1.2),
         _add("t_peak", -0.2, 0, 0.1)),
    _hyp("LAO/LAE", "left atrial overload/enlargement", 0.0, _scale("la", 1.75), Effect("widen", "P", 1.22),
         Effect("pr", "", 20.0)),
    _hyp("RAO/RAE", "right atrial overload/enlargement", 0.0, _scale("ra", 2.1), _add("ra", 0.0, 0.05, -0.02)),
    # Form: in the population they describe what a disease above does; alone, they do it by themselves.
    _form("ABQRS", "abnormal QRS", Effect("widen", "QRS", 1.2), Effect("scatter", "notch", 0.5)),
    _form("QWAVE", "Q waves present", _add("septal", 0.03, -0.28, 0), _add("anterior", 0.08, -0.26, 0)),
    _form("VCLVH", "voltage criteria (QRS) for left ventricular hypertrophy", _scale("QRS", 1.6)),
    _form("LOWT", "low amplitude T-waves", _scale("T", 0.3)),
    _form("INVT", "inverted T-waves", _add("t_rise", -0.26, -0.10, 0.05), _add("t_peak", -0.40, -0.16, 0.10)),
    _form("STD_", "non-specific ST depression", _add("st_early", -0.08, -0.07, 0), _add("st_late", -0.12, -0.1, 0)),
    _form("LPR", "prolonged PR interval", Effect("pr", "", 70.0)),
    # Premature beats and rhythms are the matter of rhythm.py.
    Statement("PVC", "ventricular premature complex", "form"),
    Statement("PAC", "atrial premature complex", "form"),
    Statement("SR", "sinus rhythm", "rhythm"),
    Statement("SBRAD", "sinus bradycardia", "rhythm"),
    Statement("STACH", "sinus tachycardia", "rhythm"),
    Statement("SARRH", "sinus arrhythmia", "rhythm"),
    Statement("AFIB", "atrial fibrillation", "rhythm"),
    Statement("AFLT", "atrial flutter", "rhythm"),
    Statement("PACE", "normal functioning artificial pacemaker", "rhythm"),
)  # fmt: skip
STATEMENTS = {row.code: row for row in _TABLE}


def superclasses_of(codes: Iterable[str]) -> set[str]:
    """Diagnostic superclasses of a set of statements."""
    return {STATEMENTS[code].superclass for code in codes} - {""}


def _apply(heart: Heart, effect: Effect, severity: float, rng: np.random.Generator) -> None:
    verb, value = effect.verb, effect.value
    if verb == "pr":
        heart.pr_ms += value * severity
    elif verb == "qt":
        heart.qt *= 1 + (value - 1) * severity
    elif verb == "widen":
        heart.widen(effect.target, 1 + (value - 1) * severity)
    elif verb == "scale":
        heart.moment[wave_index(effect.target)] *= 1 + (value - 1) * severity
    elif verb == "add":
        heart.moment[wave_index(effect.target)] += np.asarray(value) * severity
    else:
        direction = rng.standard_normal(3)
        heart.moment[wave_index(effect.target)] += value * severity * direction / np.linalg.norm(direction)


def apply_statement(heart: Heart, code: str, severity: float, rng: np.random.Generator) -> None:
    """Change a heart as a statement says.

    Args:
        heart: changed in place.
        code: a key of ``STATEMENTS``.
        severity: 0 none, 1 the textbook.
        rng: draws the age of an infarct and the places that have no rule.
    """
    row = STATEMENTS[code]
    before = heart.qrs_area()
    for effect in row.effects:
        _apply(heart, effect, severity, rng)
    if row.secondary:
        _answer(heart, heart.qrs_area() - before, row.secondary)
    if row.territory is not None:
        _age_infarct(heart, np.array(row.territory) / np.linalg.norm(row.territory), severity, rng)


def _answer(heart: Heart, change: NDArray[np.float64], share: float) -> None:
    """Let repolarisation oppose a change of QRS area (mV ms): a fifth of it in the ST segment, the rest in T."""
    for name, part in (("st_early", 0.05), ("st_late", 0.15), ("t_rise", 0.40), ("t_peak", 0.40)):
        (row,) = wave_index(name)
        heart.moment[row] -= share * part * change / (np.sqrt(np.pi / 2) * (heart.rise[row] + heart.fall[row]))


def _age_infarct(heart: Heart, wall: NDArray[np.float64], severity: float, rng: np.random.Generator) -> None:
    """Old scars have flat or inverted T, weeks-old ones deep inversion, fresh ones ST elevation over the wall."""
    stage = rng.choice(3, p=(0.72, 0.20, 0.08))
    inversion = (rng.uniform(0.05, 0.5), rng.uniform(0.5, 1.3), rng.uniform(-0.6, 0.3))[stage] * severity
    elevation = (rng.uniform(0.0, 0.02), rng.uniform(0.0, 0.06), rng.uniform(0.08, 0.30))[stage] * severity
    recovery = wall * (1.0, 1.0, 0.4)  # the inversion of old anterior scars shows in I, aVL and V5-V6 more than in V2
    for name, st, t in (
        ("st_early", 1.0, 0.0),
        ("st_late", 1.0, -0.05),
        ("t_rise", 0.4, -0.20),
        ("t_peak", 0.1, -0.24),
    ):
        heart.moment[wave_index(name)] += st * elevation * wall + t * inversion * recovery
