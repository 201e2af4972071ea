"""What a session remembers: results by what they were computed from, in memory, gone with the page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import streamlit as st

from einthoven.record import Record

__all__ = ["fingerprint_of", "forget", "remembered"]

T = TypeVar("T")
_KEY = "einthoven memory"


def remembered(kind: str, fingerprint: Hashable, compute: Callable[[], T]) -> T:
    """Return what was computed last of this kind where the fingerprint is the same, else compute and keep it.

    One value is kept for each kind, so a session holds no more than what its page shows.
    """
    store: dict[str, tuple[Hashable, Any]] = st.session_state.setdefault(_KEY, {})
    if kind not in store or store[kind][0] != fingerprint:
        store.pop(kind, None)  # before, so that both need not fit into the memory
        store[kind] = (fingerprint, compute())
    value: T = store[kind][1]
    return value


def forget(kind: str) -> None:
    """Drop what was remembered of a kind."""
    st.session_state.get(_KEY, {}).pop(kind, None)


def fingerprint_of(record: Record) -> str:
    """Return what tells records apart: signal, rate, leads, and what a model may know of the patient."""
    facts = (record.fs, record.leads, record.unit, record.age, record.sex)
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(np.ascontiguousarray(record.signal).data)
    return digest.hexdigest()
