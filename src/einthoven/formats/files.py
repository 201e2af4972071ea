"""A record's file and its siblings, on disk or uploaded.

One idea: a reader asks for bytes by name and never learns where they lie.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from einthoven.errors import RecordError

__all__ = ["Files", "LocalFiles", "MemoryFiles", "Source", "open_files", "stem"]

_HEAD_BYTES = 4096


def stem(name: str) -> str:
    """Return a file name without its last suffix."""
    return os.path.splitext(name)[0]


class Files(ABC):
    """One named file, or record name, and the files beside it.

    Attributes:
        name: what the user pointed at, without its folder; it need not exist (``00001_lr`` of ``00001_lr.hea``).
    """

    name: str

    @abstractmethod
    def read(self, name: str | None = None) -> bytes:
        """Return the content of ``name``, by default of ``self.name``.

        Raises:
            RecordError: there is no such file.
        """

    @abstractmethod
    def head(self, name: str | None = None, n_bytes: int = _HEAD_BYTES) -> bytes:
        """Return the first bytes of ``name``; empty where there is no such file."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether ``name`` is a file beside this one."""

    @abstractmethod
    def folder(self) -> contextlib.AbstractContextManager[str]:
        """A folder of the file system that holds the files, for libraries that read only from disk."""


class LocalFiles(Files):
    """A file on disk and its folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder, self.name = os.path.split(os.fspath(path).rstrip("/"))

    def _path(self, name: str) -> str:
        # A header may name any file: only those beside it are the record's.
        if not name or "/" in name or "\0" in name or os.path.basename(name) != name or name in (".", ".."):
            raise RecordError(f"{self.name}: refers to {name!r}, which is not the name of a file beside it")
        return os.path.join(self._folder, name)

    def read(self, name: str | None = None) -> bytes:
        """Return the content of ``name``, by default of ``self.name``."""
        wanted = self.name if name is None else name
        path = self._path(wanted)
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            raise RecordError(f"{path}: is a pipe or a device, not a file")  # reading it might never end
        try:
            with open(path, "rb", buffering=0) as file:
                return file.readall()
        except OSError as error:
            raise self._unreadable(wanted, error) from error

    def head(self, name: str | None = None, n_bytes: int = _HEAD_BYTES) -> bytes:
        """Return the first bytes of ``name``; empty where there is no such file."""
        wanted = self.name if name is None else name
        if not self.exists(wanted):
            return b""
        try:
            with open(self._path(wanted), "rb", buffering=0) as file:
                return file.read(n_bytes)
        except OSError as error:
            raise self._unreadable(wanted, error) from error

    def exists(self, name: str) -> bool:
        """Whether ``name`` is a file beside this one."""
        return os.path.isfile(self._path(name))

    @contextlib.contextmanager
    def folder(self) -> Iterator[str]:
        """The folder itself."""
        yield self._folder or "."

    def _unreadable(self, name: str, error: OSError) -> RecordError:
        path = os.path.join(self._folder, name)
        if os.path.isdir(path):
            return RecordError(f"{path} is a folder: name a record in it")
        return RecordError(f"{path}: cannot be read ({error.strerror or error})")


class MemoryFiles(Files):
    """An upload: file contents by name."""

    def __init__(self, name: str, contents: Mapping[str, bytes]) -> None:
        self.name = name
        self._contents = dict(contents)

    def read(self, name: str | None = None) -> bytes:
        """Return the content of ``name``, by default of ``self.name``."""
        wanted = self.name if name is None else name
        if wanted not in self._contents:
            got = ", ".join(sorted(self._contents)) or "nothing"
            raise RecordError(f"{wanted}: missing from the upload, which has {got}; add it")
        return self._contents[wanted]

    def head(self, name: str | None = None, n_bytes: int = _HEAD_BYTES) -> bytes:
        """Return the first bytes of ``name``; empty where there is no such file."""
        return self._contents.get(self.name if name is None else name, b"")[:n_bytes]

    def exists(self, name: str) -> bool:
        """Whether ``name`` was uploaded."""
        return name in self._contents

    @contextlib.contextmanager
    def folder(self) -> Iterator[str]:
        """A temporary folder with the uploaded files, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="einthoven-") as folder:
            for name, content in self._contents.items():
                if not name or os.path.basename(name) != name or "\0" in name or name in (".", ".."):
                    raise RecordError(f"{name!r} is not a plain file name")
                Path(folder, name).write_bytes(content)
            yield folder


Source = str | os.PathLike[str] | Files


def open_files(source: Source) -> Files:
    """Return ``source`` as ``Files``: a path becomes ``LocalFiles``."""
    return source if isinstance(source, Files) else LocalFiles(source)
