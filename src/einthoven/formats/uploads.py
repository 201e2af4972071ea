"""Files from strangers: which of them make one record, how much of them is read, and what is said of the rest.

One idea: an upload never raises and leaves no trace. Files stay in memory and are read in a process that is killed when
it takes too long (``formats.apart``); each becomes a record or one sentence.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from einthoven.errors import EinthovenError, RecordError, nearest
from einthoven.formats.apart import read_apart
from einthoven.formats.files import MemoryFiles, stem
from einthoven.formats.registry import list_formats
from einthoven.formats.wfdb_header import looks_like_header, parse_header
from einthoven.record import Record

__all__ = ["Limits", "Uploads", "plain_name", "read_uploads"]

_LONGEST_NAME = 120
_HEAD = 4096
_STATED = ("fs", "unit", "leads", "beats", "age", "sex")
_OLDEST = 130
# What people upload by mistake, by its first bytes.
_MISTAKES = (
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"BM", "a picture (BMP)"),
    (b"II*\0", "a picture (TIFF)"),
    (b"MM\0*", "a picture (TIFF)"),
    (b"RIFF", "a picture or a sound (RIFF)"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may cost.

    Attributes:
        max_bytes: of all files of an upload together.
        max_files: of an upload.
        max_duration_s: of one record.
        max_expanded_bytes: memory that reading a record may take; what unpacks to more is refused.
        seconds: for reading all files of an upload; a process that is then still reading is killed.
    """

    max_bytes: int = 64 << 20
    max_files: int = 50
    max_duration_s: float = 86_400.0
    max_expanded_bytes: int = 2 << 30
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Uploads:
    """What an upload was.

    Attributes:
        records: by the name of the file that stands for each; a WFDB record goes by its header.
        failed: one sentence for each file that is no record, by its name.
    """

    records: dict[str, Record] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def plain_name(name: str) -> str:
    r"""Return the last part of a file's name, printable and short; empty where nothing is left.

    >>> plain_name("../../etc/passwd"), plain_name(r"C:\ecg\a.csv"), plain_name("..")
    ('passwd', 'a.csv', '')
    """
    last = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable()).strip()
    if len(last) > _LONGEST_NAME:
        last = last[-_LONGEST_NAME:]  # the end has the suffix
    return "" if last in (".", "..") else last


def read_uploads(
    files: Mapping[str, bytes], *, stated: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> Uploads:
    """Read the files of an upload.

    A WFDB header and the files that it names, or that share its name, are one record; every other file is one.

    Args:
        files: contents by name, as the client gave it; only its last part is used.
        stated: what the user states of all of them and what goes before the files: ``fs``, ``unit``, ``leads``,
            ``beats`` of ``read_record``, and ``age`` in years and ``sex``.
        limits: what they may cost.

    Returns:
        Records and sentences; every file is in one of the two or belongs to a record.

    Raises:
        RecordError: something unknown is stated.
    """
    limits = limits or Limits()
    options, patient = _checked(stated or {})
    found = Uploads()
    contents = _accepted(files, limits, found.failed)
    ends = time.monotonic() + limits.seconds
    for name, parts in _grouped(contents).items():
        left = ends - time.monotonic()
        try:
            if left <= 0:
                raise RecordError(f"{name}: not read, the files before took the {limits.seconds:g} s of an upload")
            record = _read(name, {part: contents[part] for part in parts}, options, limits, left)
            found.records[name] = record.with_(**patient) if patient else record
        except EinthovenError as error:
            found.failed[name] = str(error)
    return found


def _checked(stated: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split what is stated in what the readers use and what is known of the patient; None states nothing."""
    for key in stated:
        if key not in _STATED:
            raise RecordError(f"nothing called {key!r} can be stated of a file{nearest(key, _STATED)}: {_STATED}")
    given = {key: value for key, value in stated.items() if value is not None}
    if isinstance(given.get("leads"), str):
        given["leads"] = [lead.strip() for lead in given["leads"].split(",")]
    if given.get("sex") not in (None, "female", "male"):
        raise RecordError(f"the sex is female or male, got {given['sex']!r}")
    if "age" in given and not 0 <= float(given["age"]) <= _OLDEST:
        raise RecordError(f"the age lies between 0 and {_OLDEST} years, got {given['age']}")
    patient: dict[str, Any] = {key: given.pop(key) for key in ("age", "sex") if key in given}
    return given, patient


def _accepted(files: Mapping[str, bytes], limits: Limits, failed: dict[str, str]) -> dict[str, bytes]:
    """Contents by plain name; what is refused before anything is read goes to ``failed``."""
    contents: dict[str, bytes] = {}
    total = 0
    for k, (given, content) in enumerate(files.items()):
        name = plain_name(given)
        if not name:
            failed[f"file {k + 1}"] = f"file {k + 1} has no name that could be used; rename it"
        elif name in contents or name in failed:
            failed[f"file {k + 1}"] = f"{name}: two files of this upload have this name; upload them one by one"
        elif k >= limits.max_files:
            failed[name] = f"{name}: not read, an upload has at most {limits.max_files} files; upload the rest later"
        elif not content:
            failed[name] = f"{name}: the file is empty"
        elif total + len(content) > limits.max_bytes:
            failed[name] = (
                f"{name}: not read, its {_size(len(content))} are more than an upload may have "
                f"({_size(limits.max_bytes)} in all); cut the recording"
            )
        else:
            contents[name] = content
            total += len(content)
    return contents


def _size(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):.1f} MiB" if n_bytes >= 1 << 20 else f"{n_bytes} bytes"


def _grouped(contents: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Files of each record by the name of the one that stands for it, in the order of the upload."""
    headers = {name: _mentioned(name, contents) for name, text in contents.items() if looks_like_header(text[:_HEAD])}
    inner = {part for name, parts in headers.items() for part in parts if part in headers and part != name}
    groups = {name: parts for name, parts in headers.items() if name not in inner}
    for parts in groups.values():
        parts += [part for part in parts if part in inner for part in headers[part]]
    claimed = {part for parts in groups.values() for part in parts}
    return {name: groups.get(name) or [name] for name in contents if name in groups or name not in claimed}


def _mentioned(header: str, contents: Mapping[str, bytes]) -> list[str]:
    """The header, the signal files and segments that it names, and the annotations that share its name."""
    try:
        found = parse_header(contents[header], header)
    except RecordError:
        return [header]  # its reader will say what is wrong
    named = {signal.file_name for signal in found.signals} | {f"{name}.hea" for name, _ in found.segments}
    beside = {name for name in contents if stem(name) == stem(header) and not _of_other_format(name)}
    return [header, *sorted((named | beside) & set(contents) - {header})]


def _of_other_format(name: str) -> bool:
    suffix = name[len(stem(name)) :].lower()
    return any(suffix in reader.suffixes for reader in list_formats() if reader.name != "WFDB")


def _read(
    name: str, contents: Mapping[str, bytes], options: Mapping[str, Any], limits: Limits, seconds: float
) -> Record:
    mistake = next((what for mark, what in _MISTAKES if contents[name].startswith(mark)), "")
    files = MemoryFiles(name, contents)
    if mistake and not any(reader.sniff(files) for reader in list_formats()):
        raise RecordError(f"{name}: is {mistake}, not a recording; upload the file that the ECG device exported")
    record = read_apart(name, contents, options, seconds=seconds, memory=limits.max_expanded_bytes)
    if record.duration_s > limits.max_duration_s:
        raise RecordError(
            f"{name}: lasts {record.duration_s:.0f} s, at most {limits.max_duration_s:.0f} s are read; cut it"
        )
    return record
