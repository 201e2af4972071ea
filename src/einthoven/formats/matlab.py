"""ECGs in MATLAB files: a matrix, its rate, unit and leads in variables beside it or in one structure with it.

One idea: a ``.mat`` beside a WFDB header is that record's signal file; this reader is for those that stand alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from einthoven.errors import RecordError
from einthoven.formats.arrays import ArrayFacts, Value, array_facts, array_record, choose_array, fact_of
from einthoven.formats.files import Files, stem
from einthoven.formats.hdf5 import SIGNATURE, read_hdf5_content
from einthoven.formats.matlab_values import (
    Variable,
    is_version_4,
    is_version_5,
    version_4_variables,
    version_5_variables,
)
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.record import Record

__all__ = ["read_matlab"]

_MOST_NAMES = 64
_CPSC_2018 = {"sex", "age", "data"}


def _is_version_7_3(head: bytes) -> bool:
    return head.startswith(b"MATLAB") and head[512:].startswith(SIGNATURE)


def _sniff(files: Files) -> bool:
    head = files.head()
    return is_version_5(head) or _is_version_7_3(head) or is_version_4(head)


# Generic, so that WFDB, whose signal files have this suffix and format too, is asked first.
@register_reader(
    "MATLAB", (".mat",), "MATLAB files without a WFDB header: a matrix, fs, unit, leads", _sniff, generic=True
)
def read_matlab(files: Files, options: ReadOptions) -> Record:
    """Read a MATLAB file of version 4, 5 (also written by 6 and 7) or 7.3.

    Raises:
        RecordError: damaged, or without a signal, rate, unit or leads that can be told.
        MissingExtraError: it is of version 7.3, which is HDF5, and h5py is absent.
    """
    name, content = files.name, files.read()
    if _is_version_7_3(content[:1024]):
        return read_hdf5_content(content, name, options)
    if is_version_5(content[:128]):
        variables = version_5_variables(content, name)
    elif is_version_4(content[:128]):
        variables = version_4_variables(content, name)
    else:
        raise RecordError(f"{name}: begins like no MATLAB file of version 4, 5, 6, 7 or 7.3")
    if set(variables) == {"val"} and options.fs is None and options.unit is None:
        raise RecordError(
            f"{name}: one matrix 'val' without rate, unit and leads is the signal file of a CinC challenge record: "
            f"put its WFDB header {stem(name)}.hea beside it, or state rate and unit: --fs and --unit"
        )
    return _record(variables, name, options)


def _record(variables: dict[str, Variable], name: str, options: ReadOptions) -> Record:
    flat = _flat(variables)
    arrays = {key: value for key, value in flat.items() if isinstance(value, np.ndarray)}
    key, notes = choose_array({key: array.shape for key, array in arrays.items()}, name)
    folder = key.rpartition("/")[0]
    facts = array_facts(_facts(flat, "", name) | _facts(flat, folder, name), name)
    if key == "ECG/data" and set(flat) == {f"ECG/{field}" for field in _CPSC_2018}:
        fs = options.fs or 500.0
        assumed = f"The file has the layout of CPSC 2018 (structure ECG with sex, age, data): millivolts at {fs:g} Hz."
        facts = ArrayFacts(fs, "mV", (), facts.age, facts.sex, None, (*facts.notes, assumed))
    return array_record(name, arrays[key], facts, options, notes)


def _flat(variables: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Variables and the fields of structures by path."""
    found: dict[str, Any] = {}
    for key, value in variables.items():
        found |= _flat(value, f"{path}{key}/") if isinstance(value, dict) else {path + key: value}
    return found


def _facts(flat: dict[str, Any], folder: str, name: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for path, value in flat.items():
        place, _, key = path.rpartition("/")
        if place != folder or not fact_of(key):
            continue
        if not isinstance(value, np.ndarray):
            found[key] = value
        elif value.size > _MOST_NAMES or len(set(value.reshape(-1).tolist())) > 1:
            raise RecordError(f"{name}: {path} has {value.size} values where one describes the signal")
        elif value.size:
            found[key] = float(value.reshape(-1)[0])
    return found
