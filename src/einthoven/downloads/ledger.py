"""Which files of a folder are verified: one line each, appended once the file has its final name.

The ledger is also the lock: the system releases it when a process is killed, so a crash leaves nothing to clear up.
"""

from __future__ import annotations

import os
import sys
import threading
from io import BufferedRandom
from pathlib import Path
from types import TracebackType

from einthoven.downloads.client import DownloadError
from einthoven.downloads.sources import LEDGER_NAME

__all__ = ["Ledger"]


class Ledger:
    """Digest, size and time of every verified file of one download; entering it takes the lock.

    Raises:
        DownloadError: another download works in this folder, it holds another corpus, or it cannot be written.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder = folder
        self._label = label
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, int, int]] = {}

    def __enter__(self) -> Ledger:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = (self._folder / LEDGER_NAME).open("a+b")
        except OSError as error:
            raise DownloadError(f"cannot write into {self._folder}: {error.strerror}; choose another folder") from None
        try:
            _take_lock(self._file, self._folder)
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def _read(self) -> None:
        self._file.seek(0)
        # a line without its end was cut off by a crash: its file is hashed again, nothing worse
        lines = [line.rstrip(b"\n") for line in self._file if line.endswith(b"\n")]
        header = f"einthoven download: {self._label}".encode()
        if not lines:
            self._file.truncate(0)
            self._file.write(header + b"\n")
            self._file.flush()
        elif lines[0] != header:
            held = lines[0].decode(errors="replace").partition(": ")[2]
            raise DownloadError(f"{self._folder} holds a download of {held}; give {self._label} a folder of its own")
        for line in lines[1:]:
            fields = line.decode(errors="replace").split("\t")
            if len(fields) == 4 and fields[1].isdigit() and fields[2].isdigit():
                self._known[fields[3]] = fields[0], int(fields[1]), int(fields[2])
        self._end_torn_line()

    def _end_torn_line(self) -> None:
        self._file.seek(0, os.SEEK_END)
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
                self._file.flush()

    def knows(self, path: str, digest: str | None = None) -> bool:
        """Whether a file is on disk as it was when verified (size and time), with this checksum where one is given."""
        entry = self._known.get(path)
        if entry is None or (digest is not None and entry[0] != digest):
            return False
        try:
            found = (self._folder / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (found.st_size, found.st_mtime_ns) == entry[1:]

    def digest(self, path: str) -> str:
        """The checksum under which a known file was verified."""
        return self._known[path][0]

    def add(self, path: str, digest: str) -> None:
        """Remember a file that has just been verified; safe from any thread."""
        found = (self._folder / path).stat()
        with self._lock:
            self._known[path] = digest, found.st_size, found.st_mtime_ns
            self._file.write(f"{digest}\t{found.st_size}\t{found.st_mtime_ns}\t{path}\n".encode())
            self._file.flush()


def _take_lock(file: BufferedRandom, folder: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            # a byte far behind the end: what is locked cannot be read by others, and the ledger itself stays readable
            file.seek(1 << 40)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise DownloadError(f"another download works in {folder}; wait for it, or choose another folder") from None
