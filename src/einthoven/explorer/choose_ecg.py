"""Which ECG is read: a sample or an upload, and what its user states of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from einthoven.explorer.frame import note, section
from einthoven.explorer.intake import LIMITS, SAMPLES, read_again, said_on_page, sample_record
from einthoven.explorer.memory import forget, remembered
from einthoven.explorer.state_by_hand import state_by_hand
from einthoven.formats import list_formats
from einthoven.formats.uploads import Uploads, read_uploads
from einthoven.record import Record

__all__ = ["Taken", "choose_ecg"]

_SAMPLE, _UPLOAD = "A sample", "Your own files"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The ECG that the page is about.

    Attributes:
        record: as it was read.
        name: of the file, or of the sample.
    """

    record: Record
    name: str


def choose_ecg() -> Taken | None:
    """Draw the choice; None until there is an ECG."""
    section("ECG", "ecg")
    source = st.segmented_control(
        "Where from", [_SAMPLE, _UPLOAD], default=_SAMPLE, required=True, key="source", label_visibility="collapsed"
    )
    if source == _UPLOAD:
        return _uploaded()
    forget("uploads")
    every = {f"{each.code} {each.seed}": each for each in SAMPLES}
    key = st.selectbox("Synthetic ECG", list(every), format_func=lambda each: every[each].title, key="sample")
    sample = every[key]
    note("Made by a model of the heart, no patient; the words say what it was made to show.")
    record = remembered("sample", sample, lambda: sample_record(sample))
    return Taken(record, f"{sample.title}, synthetic")


def _uploaded() -> Taken | None:
    given = st.file_uploader(
        "ECG files of any readable format",
        accept_multiple_files=True,
        key="files",
        max_upload_size=LIMITS.max_bytes // _MIB,
    )
    note(
        "Read in the memory of this computer, never written to its disk, and forgotten when the page is closed. A WFDB "
        "record is its header (.hea) together with its signal files."
    )
    if not given:
        forget("uploads")
        with st.expander("Which formats?"):
            st.markdown("\n".join(f"- **{reader.name}**: {reader.description}" for reader in list_formats()))
        return None
    files = {file.name: file.getvalue() for file in given}
    identity = tuple((file.name, file.file_id) for file in given)
    with st.spinner("Reading"):
        first = remembered("uploads", identity, lambda: read_uploads(files, limits=LIMITS))
    return _chosen(files, identity, first)


def _chosen(files: Mapping[str, bytes], identity: tuple[Any, ...], first: Uploads) -> Taken | None:
    every = [*first.records, *first.failed]
    name = every[0]
    if len(every) > 1:
        marks = {file: "" if file in first.records else " (not read)" for file in every}
        n, whole = len(first.records), len(every)
        label = f"Recording ({n} of {whole} could be read)"
        name = st.selectbox(label, every, format_func=lambda file: f"{file}{marks[file]}", key="recording")
    if name not in first.records:
        note(said_on_page(first.failed[name]), "bad")
    stated = state_by_hand(files, first, name, identity)
    if stated:
        with st.spinner("Reading again"):
            fingerprint = (identity, name, tuple(sorted(stated.items())))
            again = remembered("uploads again", fingerprint, lambda: read_again(files, first, name, stated))
        if name in again.failed:
            note(said_on_page(again.failed[name]), "bad")
            return None
        return Taken(again.records[name], name)
    return Taken(first.records[name], name) if name in first.records else None
