"""Sections 3 and 4 of SCP-ECG: which leads there are, and where their QRS complexes lie.

One idea: the standard counts samples from 1 with inclusive ends; from here on they count from 0 with exclusive ends.
Standard: EN 1064 / ISO 11073-91064, clauses 5.6 and 5.7; lead codes are those of ISO/IEEE 11073-10101, partition 2.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.leads import canonical_lead

__all__ = ["LeadLayout", "QrsLocations", "StoredLead", "lead_name", "parse_leads", "parse_qrs"]

# By the code of the first. A "calculated" lead (-cal) was derived by the device from others and must not pass for the
# measured one, nor may the inverted aVR of Cabrera's sequence pass for aVR.
_RUNS = {
    1: "I II V1 V2 V3 V4 V5 V6 V7 V2R V3R V4R V5R V6R V7R X Y Z CC5 CM5 LA RA LL fI fE fC fA fM fF fH",
    31: "I-cal II-cal V1-cal V2-cal V3-cal V4-cal V5-cal V6-cal V7-cal V2R-cal V3R-cal V4R-cal V5R-cal V6R-cal V7R-cal",
    46: "X-cal Y-cal Z-cal CC5-cal CM5-cal LA-cal RA-cal LL-cal fI-cal fE-cal fC-cal fA-cal fM-cal fF-cal fH-cal",
    61: "III aVR aVL aVF inverted_aVR V8 V9 V8R V9R Nehb_D Nehb_A Nehb_J defibrillator external_pacing A1 A2 A3 A4",
    79: "V8-cal V9-cal V8R-cal V9R-cal Nehb_D-cal Nehb_A-cal Nehb_J-cal",
    86: "C V VR VL VF MCL MCL1 MCL2 MCL3 MCL4 MCL5 MCL6 CC CC1 CC2 CC3 CC4 CC6 CC7 CM CM1 CM2 CM3 CM4 CM6",
    111: "III-cal aVR-cal aVL-cal aVF-cal inverted_aVR-cal",
    121: "CM7 CH5 CS5 CB5 CR5 ML AB1 AB2 AB3 AB4 EASI-ES EASI-AS EASI-AI EASI-S",
    147: "RL",
}
_CODES = {
    code: name.replace("_", " ") for first, names in _RUNS.items() for code, name in enumerate(names.split(), first)
}

_SUBTRACTED, _SIMULTANEOUS = 1, 4
_BEAT = np.dtype([("kind", "<u2"), ("start", "<u4"), ("fiducial", "<u4"), ("end", "<u4")])
_ZONE = np.dtype([("start", "<u4"), ("end", "<u4")])


class StoredLead(NamedTuple):
    """One lead; ``start`` and ``stop`` are samples from the beginning of the recording."""

    name: str
    start: int
    stop: int


class LeadLayout(NamedTuple):
    """Section 3.

    Attributes:
        leads: in the order in which they are stored, names all different.
        subtracted: whether reference beats were subtracted from the rhythm.
        simultaneous: whether the file says that all leads were recorded at the same time.
        first: the number that the file gives to the first sample of a recording.
        notes: what was found odd.
    """

    leads: tuple[StoredLead, ...]
    subtracted: bool
    simultaneous: bool
    first: int
    notes: tuple[str, ...]


class QrsLocations(NamedTuple):
    """Section 4.

    Attributes:
        beat_ms: length of the reference beat.
        fiducial: sample of its fiducial point, from 0.
        beats: int64, shape (complexes where the reference beat was subtracted, 3): start, fiducial, stop.
        protected: int64, shape (zones, 2): start and stop of the zones of full rate.
    """

    beat_ms: int
    fiducial: int
    beats: NDArray[np.int64]
    protected: NDArray[np.int64]


def lead_name(code: int) -> str:
    """Return the name of a lead code.

    >>> lead_name(2), lead_name(62), lead_name(16), lead_name(71), lead_name(200)
    ('II', 'aVR', 'vx', 'Nehb A', 'lead code 200')
    """
    return canonical_lead(_CODES.get(code, f"lead code {code}"))


def parse_leads(body: bytes, name: str) -> LeadLayout:
    """Read section 3.

    Raises:
        RecordError: it has no leads, is too short for them, or one ends before it starts.
    """
    n_leads, flags = body[0], body[1] if len(body) > 1 else 0
    if n_leads == 0 or len(body) < 2 + 9 * n_leads:
        raise RecordError(
            f"{name}: section 3 announces {n_leads} leads in {len(body)} bytes; at least 1 of 9 bytes each"
        )
    rows = [struct.unpack_from("<IIB", body, 2 + 9 * k) for k in range(n_leads)]
    # The standard counts from 1; a few writers count from 0, then everywhere.
    first = min(1, min(start for start, _, _ in rows))
    leads: list[StoredLead] = []
    notes = []
    for k, (start, end, code) in enumerate(rows, 1):
        if end < start:
            raise RecordError(f"{name}: lead {k} of section 3 ends at sample {end}, before it starts ({start})")
        lead = lead_name(code) if code else f"unspecified lead {k}"
        if any(lead == other.name for other in leads):
            lead = f"{lead} ({k})"
            notes.append(f"Lead {k} has the name of another and is called {lead!r}.")
        leads.append(StoredLead(lead, start - first, end - first + 1))
    return LeadLayout(tuple(leads), bool(flags & _SUBTRACTED), bool(flags & _SIMULTANEOUS), first, tuple(notes))


def parse_qrs(body: bytes, name: str, first: int) -> QrsLocations:
    """Read section 4; the protected zones may be absent.

    Raises:
        RecordError: it is too short for the complexes it announces.
    """
    if len(body) < 6:
        raise RecordError(f"{name}: section 4 has {len(body)} bytes of data; at least 6 are needed")
    beat_ms, fiducial, n_qrs = struct.unpack_from("<3H", body)
    if len(body) < 6 + _BEAT.itemsize * n_qrs:
        raise RecordError(f"{name}: section 4 announces {n_qrs} QRS complexes, too many for its {len(body)} bytes")
    rows = np.frombuffer(body, _BEAT, n_qrs, 6)
    table = np.stack([rows["start"], rows["fiducial"], rows["end"]], axis=1).astype(np.int64)
    table += np.array([-first, -first, 1 - first])
    subtracted = (rows["kind"] == 0) & (rows["start"] >= first) & (rows["end"] >= max(1, first))
    at = 6 + _BEAT.itemsize * n_qrs
    n_zones = n_qrs if len(body) >= at + _ZONE.itemsize * n_qrs else 0
    found = np.frombuffer(body, _ZONE, n_zones, at)
    zones = np.stack([found["start"], found["end"]], axis=1).astype(np.int64) + np.array([-first, 1 - first])
    zones = zones[(found["end"] > 0) & (zones[:, 1] > zones[:, 0])]
    beats = table[subtracted & (table[:, 2] > table[:, 0])]
    return QrsLocations(beat_ms, fiducial - 1, beats, zones)
