"""WFDB annotation files (``.atr`` and the like): where the beats are.

One idea: the file is a list of 16-bit words, six bits of code and ten of time, with a few codes for what does not fit.
Format: WFDB Applications Guide, annot(5), https://physionet.org/physiotools/wag/annot-5.htm
"""

from __future__ import annotations

import re

import numpy as np

from einthoven.errors import RecordError
from einthoven.formats.files import Files, Source, open_files, stem
from einthoven.record import Beats

__all__ = ["BEAT_SYMBOLS", "read_annotations", "record_beats"]

# Symbol of each annotation code, annot(5); blank where none is assigned.
_SYMBOLS = ' NLRaVFJASEj/Q~ | sT*D"=pB^t+u?![]en@xf()r'
# The beat annotations of PhysioNet's list, https://archive.physionet.org/physiobank/annotations.shtml
BEAT_SYMBOLS = frozenset("NLRaVFJASEj/QBfenr?")
_NOTE, _SKIP, _NUM, _SUB, _CHN, _AUX = 22, 59, 60, 61, 62, 63
_RESOLUTION = re.compile(rb"## time resolution: ([\d.]{1,20})")


def read_annotations(source: Source, extension: str = "atr", *, beats_only: bool = False) -> Beats:
    """Read an annotation file.

    Args:
        source: path of the annotation file, of the record or of any of its files; or ``MemoryFiles``.
        extension: of the annotator, where ``source`` is not the annotation file itself.
        beats_only: leave out what is no beat (rhythm changes, noise, comments).

    Returns:
        Sample index and symbol of each annotation, in the time unit of the file.

    Raises:
        RecordError: missing or damaged.
    """
    files = open_files(source)
    name = files.name
    if not name.endswith(f".{extension}"):
        name = next((n for n in (f"{name}.{extension}", f"{stem(name)}.{extension}") if files.exists(n)), name)
        if not name.endswith(f".{extension}"):
            raise RecordError(f"{files.name}: its annotation file {stem(name)}.{extension} is missing")
    beats, _ = _parse(files.read(name), name)
    return _beats_of(beats) if beats_only else beats


def record_beats(files: Files, record: str, fs: float) -> Beats | None:
    """Return the beats of ``<record>.atr`` as samples at ``fs`` Hz; None where there is no such file."""
    names = (f"{stem(files.name)}.atr", f"{files.name}.atr", f"{record}.atr")
    name = next((name for name in names if files.exists(name)), None)
    if name is None:
        return None
    beats, resolution = _parse(files.read(name), name)
    beats = _beats_of(beats)
    if resolution is None or resolution == fs:
        return beats
    return Beats(np.rint(beats.samples * (fs / resolution)).astype(np.int64), beats.symbols)


def _beats_of(beats: Beats) -> Beats:
    kept = np.isin(beats.symbols, sorted(BEAT_SYMBOLS))
    return Beats(beats.samples[kept], beats.symbols[kept])


def _parse(content: bytes, name: str) -> tuple[Beats, float | None]:
    """Return all annotations and, where the file states one, its time resolution in Hz."""
    words = np.frombuffer(content, "<u2", len(content) // 2).tolist()
    samples: list[int] = []
    codes: list[int] = []
    resolution = None
    time, k, defining = 0, 0, False
    while k < len(words) and words[k]:
        code, value = words[k] >> 10, words[k] & 0x3FF
        k += 1
        if code == _SKIP:
            time += _long(words, k, name)
            k += 2
        elif code == _AUX:
            text = content[2 * k : 2 * k + value]
            k += (value + 1) // 2
            if codes and codes[-1] == _NOTE and samples[-1] == 0 and (defining or text.startswith(b"## ")):
                # Definitions travel as comments at time zero; they are no annotations.
                del samples[-1], codes[-1]
                found = _RESOLUTION.match(text)
                resolution = _positive(found[1], name) if found else resolution
                defining = text.startswith(b"## ") and not found and not text.startswith(b"## end")
        elif code < _SKIP:
            time += value
            if code:  # code 0 is "not an annotation": it only moves the time
                samples.append(time)
                codes.append(code)
        elif code not in (_NUM, _SUB, _CHN):
            raise RecordError(f"{name}: unknown annotation code {code}")
    if k >= len(words):
        raise RecordError(f"{name}: ends without its end mark, so annotations may be missing")
    symbols = [_SYMBOLS[c].strip() or f"#{c}" if c < len(_SYMBOLS) else f"#{c}" for c in codes]
    if samples and not 0 <= min(samples) <= max(samples) < 2**53:
        raise RecordError(f"{name}: annotations lie before the start of the record")
    return Beats(np.array(samples, np.int64), np.array(symbols, np.str_)), resolution


def _long(words: list[int], k: int, name: str) -> int:
    """A 32-bit interval in PDP-11 order: high word first."""
    if k + 2 > len(words):
        raise RecordError(f"{name}: ends within an annotation")
    value: int = words[k] << 16 | words[k + 1]
    return value - (1 << 32) if value >> 31 else value


def _positive(text: bytes, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise RecordError(f"{name}: the time resolution {text.decode()!r} is not a positive number")
    return value
