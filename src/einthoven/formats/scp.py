"""SCP-ECG, the European standard for resting ECGs: EN 1064 / ISO 11073-91064.

One idea: the standard's sections are read one by one, each by its own function, and put together here.
"""

from __future__ import annotations

import numpy as np

from einthoven.errors import RecordError
from einthoven.formats.files import Files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.scp_huffman import HuffmanTable, parse_tables
from einthoven.formats.scp_leads import LeadLayout, QrsLocations, parse_leads, parse_qrs
from einthoven.formats.scp_patient import read_facts, read_statements
from einthoven.formats.scp_sections import Sections, looks_like_scp, read_sections
from einthoven.formats.scp_signals import Rhythm, parse_encoded, reconstruct
from einthoven.formats.stated import agreed_rate, agreed_scale, millivolts, unit_of
from einthoven.leads import LIMB_LEADS, limb_lead_weights
from einthoven.record import Record

__all__ = ["read_scp"]

_NO_QRS = QrsLocations(0, 0, np.zeros((0, 3), np.int64), np.zeros((0, 2), np.int64))


def _sniff(files: Files) -> bool:
    return looks_like_scp(files.head())


@register_reader("SCP-ECG", (".scp",), "resting ECGs of electrocardiographs by EN 1064 / ISO 11073-91064", _sniff)
def read_scp(files: Files, options: ReadOptions) -> Record:
    """Read an SCP-ECG record.

    Raises:
        RecordError: damaged, without rhythm, or compressed in a way that the standard does not know.
    """
    name = files.name
    sections = read_sections(files.read(), name)
    layout = parse_leads(_needed(sections, 3, "the leads", name), name)
    rhythm = _rhythm(sections, layout, name)
    facts = read_facts(sections.bodies.get(1, b""))
    words, word_notes = read_statements(sections.bodies, facts.characters)
    leads, lead_notes = _leads(layout, options, name)
    notes = sections.notes + facts.notes + word_notes + layout.notes + lead_notes + rhythm.notes
    fs, rate_notes = agreed_rate(rhythm.fs, options, name)
    return Record(
        signal=millivolts(rhythm.signal / agreed_scale("nV", options, name), name),
        fs=fs,
        leads=leads,
        record_id=stem(name),
        patient_id=facts.patient_id,
        age=facts.age,
        sex=facts.sex,
        interpretation=words,
        source=facts.institution,
        unit=unit_of("nV", options),
        notes=notes + rate_notes,
    )


def _needed(sections: Sections, number: int, what: str, name: str) -> bytes:
    if number not in sections.bodies:
        found = ", ".join(str(k) for k in sorted(sections.bodies))
        raise RecordError(f"{name}: section {number}, which holds {what}, is missing; there are sections {found}")
    return sections.bodies[number]


def _rhythm(sections: Sections, layout: LeadLayout, name: str) -> Rhythm:
    bodies, n_leads = sections.bodies, len(layout.leads)
    rhythm = parse_encoded(_needed(sections, 6, "the rhythm", name), 6, n_leads, name)
    beat, qrs = None, _NO_QRS
    if layout.subtracted:
        beat = parse_encoded(_needed(sections, 5, "the subtracted reference beat", name), 5, n_leads, name)
    if layout.subtracted or (rhythm.bimodal and 4 in bodies):
        qrs = parse_qrs(_needed(sections, 4, "where the reference beat was subtracted", name), name, layout.first)
    # Of a reference beat that was not subtracted only the rate matters: samples are numbered by it.
    full_us = int.from_bytes(bodies.get(5, b"")[2:4], "little") or rhythm.interval_us
    tables: tuple[HuffmanTable, ...] = parse_tables(bodies[2], name) if 2 in bodies else ()
    return reconstruct(rhythm, beat, full_us, layout, qrs, tables, strict=6 in sections.damaged, name=name)


def _leads(layout: LeadLayout, options: ReadOptions, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The leads' names and what is to be told about them."""
    leads = tuple(lead.name for lead in layout.leads)
    if options.leads is not None:
        if len(options.leads) != len(leads):
            raise RecordError(f"{name}: {len(options.leads)} lead names were stated for {len(leads)} leads")
        leads = options.leads
    notes = []
    absent = [lead for lead in LIMB_LEADS if lead not in leads and limb_lead_weights(lead, leads)]
    if absent:
        notes.append(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not stored; two others determine them."
        )
    if len({lead[1:] for lead in layout.leads}) > 1:
        notes.append("The leads were not recorded over the same time; where one was not recorded it has no values.")
    elif not layout.simultaneous and len(leads) > 1:
        notes.append("The file does not say that its leads were recorded simultaneously.")
    return leads, tuple(notes)
