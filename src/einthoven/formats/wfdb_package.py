"""The rarer WFDB signal formats, segmented and multi-rate records, through the wfdb package.

One idea: sizes are checked here before the package allocates anything, and its failures become one error.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats.files import Files
from einthoven.formats.wfdb_header import WfdbHeader, parse_header

__all__ = ["read_with_package"]

# Bits per sample as signal(5) packs them; zero where FLAC compresses them to any size.
_BITS = {
    8: 8,
    16: 16,
    24: 24,
    32: 32,
    61: 16,
    80: 8,
    160: 16,
    212: 12,
    310: 32 / 3,
    311: 32 / 3,
    508: 0,
    516: 0,
    524: 0,
}
# Gaps between segments and compressed signals take no bytes of their own, yet memory: beyond this they are implausible.
_VALUES_PER_BYTE = 64
_FREE_VALUES = 2**22

Physical = tuple[NDArray[np.float32], float, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def read_with_package(files: Files, header_name: str, header: WfdbHeader) -> Physical:
    """Read a record with the wfdb package.

    Returns:
        Signal of shape (signals, samples) in the header's units, rate in Hz, names, units and notes.

    Raises:
        RecordError: sizes contradict the header, or the package cannot read the record.
        MissingExtraError: the package is absent.
    """
    if not header_name.endswith(".hea"):
        raise RecordError(f"{header_name}: give this WFDB header the suffix .hea to have a record of its format read")
    n_bytes = _check_sizes(files, header)
    for name, _ in header.segments:
        if name != "~":
            segment = parse_header(files.read(f"{name}.hea"), f"{name}.hea")
            if segment.segments:
                raise RecordError(f"{header.record}: the segment {name} has segments itself, which WFDB forbids")
            n_bytes += _check_sizes(files, segment)
    _check_memory(header, n_bytes)
    try:
        import wfdb
    except ImportError as error:
        formats = sorted({s.fmt for s in header.signals})
        kind = f"WFDB format {', '.join(map(str, formats))}" if formats else "a WFDB record of several segments"
        raise MissingExtraError(f"{header.record}: reading {kind}", "wfdb") from error
    with files.folder() as folder:
        try:
            found = wfdb.rdrecord(os.path.join(folder, header_name.removesuffix(".hea")))
        # The package documents no errors of its own: on damaged files it raises whatever breaks first.
        except Exception as error:
            raise RecordError(f"{header_name}: the wfdb package cannot read it ({error})") from error
    if found.p_signal is None or not found.p_signal.size:
        raise RecordError(f"{header_name}: the record has no samples")
    signal = np.ascontiguousarray(found.p_signal.T, dtype=np.float32)
    names = tuple(name or "" for name in found.sig_name)
    return signal, float(found.fs), names, tuple(unit or "mV" for unit in found.units), _notes(header)


def _check_memory(header: WfdbHeader, n_bytes: int) -> None:
    n_samples = max(header.n_samples or 0, sum(length for _, length in header.segments))
    if n_samples * header.n_signals > max(_FREE_VALUES, _VALUES_PER_BYTE * n_bytes):
        raise RecordError(
            f"{header.record}: {n_samples} samples of {header.n_signals} signals are far more than its {n_bytes} bytes "
            "of signal files can hold"
        )


def _check_sizes(files: Files, header: WfdbHeader) -> int:
    """Refuse a header that asks for more than its files can hold; return their bytes."""
    groups: dict[str, float] = {}
    for signal in header.signals:
        if signal.fmt not in _BITS:
            known = ", ".join(map(str, _BITS))
            raise RecordError(f"{signal.file_name}: the WFDB signal format {signal.fmt} is unknown; known are {known}")
        if signal.skew > (header.n_samples or 0):
            raise RecordError(f"{header.record}: a skew of {signal.skew} samples is longer than the record")
        groups.setdefault(signal.file_name, 8 * signal.byte_offset)
        groups[signal.file_name] += _BITS[signal.fmt] * signal.samples_per_frame * (header.n_samples or 1)
    sizes = {name: len(files.read(name)) for name in groups if name != "~"}
    for name, n_bytes in sizes.items():
        if groups[name] // 8 > n_bytes:
            raise RecordError(f"{name}: the header asks for {int(groups[name] // 8)} bytes, the file has {n_bytes}")
    return sum(sizes.values())


def _notes(header: WfdbHeader) -> tuple[str, ...]:
    notes = []
    if any(signal.samples_per_frame > 1 for signal in header.signals):
        notes.append("Signals stored at a higher rate than the frame rate were averaged to it.")
    if any(signal.skew for signal in header.signals):
        notes.append("Signals were shifted by the header's skew.")
    return tuple(notes)
