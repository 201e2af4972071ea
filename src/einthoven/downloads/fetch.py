"""Fetch a source into a folder: its list of checksums, then its files in parallel, each verified before it is named.

A run that ends early, however it ends, is continued by the same call.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from einthoven.downloads.client import Client, DownloadError, Patience, size_of
from einthoven.downloads.ledger import Ledger
from einthoven.downloads.parallel import in_parallel
from einthoven.downloads.sources import Source, Wanted, find_source, read_list
from einthoven.errors import nearest

__all__ = ["Progress", "Summary", "download"]

_ASKED = 64  # files whose size is asked for one by one
_SLACK = 2048  # a file fills its last disk block by half on average
_TELL_EVERY_S = 0.2
_TOO_MANY_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is; ``bytes_expected`` is approximate."""

    files: int
    files_total: int
    bytes: int
    bytes_expected: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a download did: files fetched and found verified already, bytes over the line, seconds."""

    source: Source
    dest: Path
    fetched: int
    skipped: int
    bytes: int
    seconds: float


class _Tally:
    """Bytes received, counted by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def add(self, n: int) -> None:
        with self._lock:
            self.bytes += n


def download(
    name: str,
    dest: Path,
    *,
    part: str = "all",
    only: str | None = None,
    mirror: str | None = None,
    workers: int = 8,
    verify: bool = False,
    progress: Callable[[Progress], None] | None = None,
    patience: Patience | None = None,
) -> Summary:
    """Fetch a published corpus, or what of it is not in ``dest`` yet.

    Args:
        name: one of ``list_sources()``.
        dest: the folder of the corpus; made where absent.
        part: a selection that the source offers, as ``100hz`` of PTB-XL.
        only: a glob over the paths of the list; what does not match is left out.
        mirror: the URL that stands for the source's base, with the same layout below it.
        workers: files fetched at a time.
        verify: hash again what is verified already.
        progress: is told about five times a second.
        patience: attempts, waits and timeouts.

    Raises:
        DownloadError: unknown name or part, no room, another download in ``dest``, or files that cannot be fetched.
        MissingExtraError: urllib3 is not installed.
    """
    began = time.monotonic()
    source = find_source(name)
    _check(source, part, mirror, workers)
    job = _Job(source, dest, mirror or source.base, workers, patience or Patience())
    with Ledger(dest, source.label) as job.ledger:
        listed = [file for file in job.listed(verify) if source.parts[part].has(file.path)]
        chosen = [file for file in listed if only is None or fnmatchcase(file.path, only)]
        if not chosen:
            raise DownloadError(f"--only {only!r} matches none of the {len(listed):,} files of {source.label}")
        pending = [file for file in chosen if verify or not job.ledger.knows(file.path, file.digest)]
        expected = job.check_room(pending, source.parts[part].n_bytes, len(listed), only is None)
        fetched = job.fetch_all(pending, len(chosen), expected, progress)
    return Summary(source, dest, fetched, len(chosen) - fetched, job.tally.bytes, time.monotonic() - began)


def _check(source: Source, part: str, mirror: str | None, workers: int) -> None:
    if part not in source.parts:
        raise DownloadError(
            f"{source.name} has no part {part!r}{nearest(part, source.parts)}; parts are {', '.join(source.parts)}"
        )
    if mirror is not None and (urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).hostname):
        raise DownloadError(
            f"mirror {mirror!r}: a URL is wanted, as https://host/folder/ that holds the list of checksums"
        )
    if workers < 1:
        raise DownloadError(f"{workers} workers: at least one is needed")


class _Job:
    """One download: its client, ledger and tally."""

    ledger: Ledger

    def __init__(self, source: Source, dest: Path, base: str, workers: int, patience: Patience) -> None:
        self.source = source
        self.dest = dest
        self.base = base if base.endswith("/") else base + "/"
        self.workers = workers
        self.patience = patience
        self.tally = _Tally()
        self.stop = threading.Event()
        self.client = Client(workers, patience, self.stop)

    def listed(self, verify: bool) -> list[Wanted]:
        """The files of every list; a list that is here already is kept, for what is published does not change."""
        return [file for name, url in self.source.lists(self.base).items() for file in self._list(name, url, verify)]

    def _list(self, name: str, url: str, verify: bool) -> list[Wanted]:
        path = self.dest / name
        if self.ledger.knows(name) and not (verify and _digest(path, "sha256") != self.ledger.digest(name)):
            return read_list(self.source.kind, _text(path, url), url)
        unfinished = _part(path)
        unfinished.unlink(missing_ok=True)  # no checksum would tell a list continued wrongly
        self.client.receive(url, unfinished, lambda _: None)
        wanted = read_list(self.source.kind, _text(unfinished, url), url)
        _give_name(unfinished, path)
        self.ledger.add(name, _digest(path, "sha256"))
        return wanted

    def check_room(self, pending: Sequence[Wanted], n_bytes: int, n_listed: int, whole: bool) -> int:
        """Refuse before the first byte where the disk is too small; return the bytes expected over the line."""
        absent = [file for file in pending if not (self.dest / file.path).is_file()]
        expected = self._expected(absent, n_bytes, n_listed, whole)
        expected = max(0, expected - sum(size_of(_part(self.dest / file.path)) for file in absent))
        needed, free = expected + _SLACK * len(absent), shutil.disk_usage(self.dest).free
        if needed > free:
            raise DownloadError(
                f"{self.source.label} needs about {_words(needed)} more, and {self.dest} has {_words(free)} free; "
                "make room, choose another folder, or fetch less of it (--part, --only)"
            )
        return expected

    def _expected(self, absent: Sequence[Wanted], n_bytes: int, n_listed: int, whole: bool) -> int:
        known = [file.n_bytes for file in absent if file.n_bytes is not None]
        if len(known) == len(absent):
            return sum(known)
        by_table = n_bytes * len(absent) // n_listed
        if whole and len(absent) > _ASKED:
            return by_table
        sample = absent if len(absent) <= _ASKED else random.Random(0).sample(absent, _ASKED)
        sizes = list(in_parallel(lambda file: self.client.size(file.url), sample, self.workers, self.stop))
        told = [size for size in sizes if isinstance(size, int)]
        return sum(told) * len(absent) // len(sample) if len(told) == len(sample) else by_table

    def fetch_all(
        self,
        pending: Sequence[Wanted],
        n_chosen: int,
        expected: int,
        progress: Callable[[Progress], None] | None,
    ) -> int:
        """Fetch or hash every pending file; return how many were fetched."""
        told_at = 0.0

        def tell() -> None:
            nonlocal told_at
            if progress is not None and time.monotonic() - told_at > _TELL_EVERY_S:
                told_at = time.monotonic()
                progress(Progress(n_chosen - len(pending) + done, n_chosen, self.tally.bytes, expected))

        done = fetched = 0
        failures: list[DownloadError] = []
        with closing(in_parallel(self._fetch, pending, self.workers, self.stop, tell)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, DownloadError):
                    failures.append(outcome)
                    if len(failures) >= _TOO_MANY_FAILURES:
                        break
                else:
                    done += 1
                    fetched += outcome
                tell()
        if failures:
            more = f" (and {len(failures) - 1} more files)" if len(failures) > 1 else ""
            here = n_chosen - len(pending) + done
            raise DownloadError(f"{failures[0]}{more}; {here:,} of {n_chosen:,} files are here")
        return fetched

    def _fetch(self, file: Wanted) -> bool:
        path = self.dest / file.path
        if path.is_file():
            if _digest(path, file.algorithm) == file.digest:
                self.ledger.add(file.path, file.digest)
                return False
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        part, found = _part(path), ""
        for _ in range(self.patience.wrong):
            self.client.receive(file.url, part, self.tally.add)
            found = _digest(part, file.algorithm)
            if found == file.digest:
                _give_name(part, path)
                self.ledger.add(file.path, file.digest)
                return True
            _discard(part)
        raise DownloadError(
            f"{file.url}: checksum {found[:12]}... is not {file.digest[:12]}... as published, "
            f"{self.patience.wrong} times; the file was not kept; try another mirror, or tell {self.source.homepage}"
        )


def _words(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _discard(part: Path) -> None:
    part.unlink()
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _give_name(part: Path, path: Path) -> None:
    part.chmod(0o644)
    os.replace(part, path)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _text(path: Path, url: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DownloadError(f"{url}: not a list of checksums, for it is not text") from None
