"""Files below a URL, through fsspec: every request has a time limit and is tried again, and a failure is a sentence.

fsspec and what speaks to a store (s3fs, gcsfs, aiohttp ...) are loaded here and nowhere else.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from os import getpid
from pathlib import Path
from typing import Any, TypeVar

from einthoven.errors import DatasetError, MissingExtraError, nearest

__all__ = ["PATIENCE", "Patience", "Remote", "remote_of"]

Result = TypeVar("Result")
_BLOCK = 8 * 2**20  # bytes of one request of a large file
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 0}},
        "use_listings_cache": False,
    },
    "http": {"use_listings_cache": False},
}
_OPTIONS |= {"s3a": _OPTIONS["s3"], "https": _OPTIONS["http"]}
_FOREIGN = ("botocore", "aiobotocore", "aiohttp", "gcsfs", "adlfs", "azure", "fsspec", "boto3")  # whose errors we tell


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is made, how long we wait before the second (then twice as long each time), and for each."""

    tries: int = 5
    wait_s: float = 0.5
    limit_s: float = 60.0


PATIENCE = Patience()


class Remote:
    """Files below a URL.

    Args:
        url: of the folder.

    Raises:
        MissingExtraError: the packages that speak to it are not installed.
        DatasetError: a URL that nothing here speaks to.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = _file_system(url)

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none.

        Raises:
            DatasetError: it cannot be asked for.
        """
        try:
            return int(self._tried(name, lambda: self._fs.info(self._at(name)))["size"])
        except FileNotFoundError as error:
            self._check_bucket(error)
            return None

    def read(self, name: str) -> bytes:
        """A whole small file.

        Raises:
            FileNotFoundError: there is none.
            DatasetError: it cannot be had.
        """
        return bytes(self._tried(name, lambda: self._fs.cat_file(self._at(name))))

    def read_part(self, name: str, begin: int, n: int) -> bytes:
        """Some bytes of a file; fewer only where it ends.

        Raises:
            DatasetError: they cannot be had.
        """

        def part() -> bytes:
            found = bytes(self._fs.cat_file(self._at(name), start=begin, end=begin + n))
            return found[begin : begin + n] if len(found) > n else found  # a server that sends the whole file instead

        try:
            return self._tried(name, part)
        except FileNotFoundError:
            raise DatasetError(f"{self.url}/{name}: not there, though dataset.json names it") from None

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file here, in blocks that are tried again one by one.

        Raises:
            DatasetError: it is not there, cannot be had, or ends early whenever it is read.
        """
        size = self.size(name)
        if size is None:
            raise DatasetError(f"{self.url}/{name}: not there, though dataset.json names it")
        with to.open("wb") as file:
            for begin in range(0, size, _BLOCK):
                file.write(self._block(name, begin, min(_BLOCK, size - begin)))

    def _block(self, name: str, begin: int, n: int) -> bytes:
        for attempt in range(PATIENCE.tries):
            part = self.read_part(name, begin, n)
            if len(part) == n:
                return part
            _pause(attempt)
        raise DatasetError(
            f"{self.url}/{name}: {len(part):,} of {n:,} bytes came from byte {begin:,} on, {PATIENCE.tries} times; "
            "the store cuts its answers short, or the file was changed meanwhile"
        )

    def put(self, local: Path, name: str) -> None:
        """Copy a file there.

        Raises:
            DatasetError: it cannot be written, or arrives with another length.
        """
        self._tried(name, lambda: self._fs.put_file(str(local), self._at(name)))
        if (there := self.size(name)) != (here := local.stat().st_size):
            raise DatasetError(f"{self.url}/{name}: {there} bytes arrived of {here}; run the same command again")

    def put_text(self, text: str, name: str) -> None:
        """Write a small file there."""
        self._tried(name, lambda: self._fs.pipe_file(self._at(name), text.encode()))

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._tried(name, lambda: self._fs.rm_file(self._at(name)))

    def names(self, folder: str = "") -> list[str]:
        """Names of the files in a folder; none where the store does not list or has none."""
        try:
            found = self._tried(folder or ".", lambda: self._fs.ls(self._at(folder), detail=False))
        except (FileNotFoundError, NotADirectoryError, NotImplementedError):
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def make_folder(self) -> None:
        """Make the folders of a store that has such."""
        if {"file", "memory"} & {self._fs.protocol, *self._fs.protocol}:
            self._tried("signals", lambda: self._fs.makedirs(self._at("signals"), exist_ok=True))

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}".rstrip("/")

    def _check_bucket(self, error: FileNotFoundError) -> None:
        if "bucket" in str(error).lower():
            raise DatasetError(f"{self.url}: there is no such bucket; check its name, or make it first") from None

    def _tried(self, name: str, call: Callable[[], Result]) -> Result:
        where = f"{self.url}/{name}".rstrip("/.")
        for attempt in range(PATIENCE.tries):
            try:
                return _within(PATIENCE.limit_s, call)
            except FileNotFoundError as error:
                self._check_bucket(error)
                raise
            except PermissionError as error:
                raise DatasetError(_refused(where, error)) from None
            except Exception as error:
                if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                    raise DatasetError(_refused(where, error)) from None
                if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _FOREIGN:
                    raise
                last = error
            _pause(attempt)
        raise DatasetError(
            f"{where}: cannot be reached, tried {PATIENCE.tries} times: {_words(last)}; check the address and the "
            "network, and run the same command again"
        ) from None


@lru_cache(maxsize=8)
def _remote(url: str, pid: int) -> Remote:
    return Remote(url)


def remote_of(url: str) -> Remote:
    """The files below a URL; connections are kept, but not across processes."""
    return _remote(url, getpid())


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]
        from fsspec.registry import known_implementations  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError(f"the dataset at {url}", "remote") from None
    scheme = url.split(":", 1)[0]
    try:
        fs, root = url_to_fs(url, skip_instance_cache=True, **_OPTIONS.get(scheme, {}))
    except ImportError as error:
        raise MissingExtraError(f"the dataset at {url} ({error})", "remote") from None
    except ValueError:
        known = sorted(known_implementations)
        raise DatasetError(
            f"{url}: nothing here reads {scheme}://{nearest(scheme, known)}; known are s3, gs, http, file and more"
        ) from None
    if hasattr(fs, "retries"):
        fs.retries = 1  # we try again ourselves, and say so
    return fs, root


def _within(limit_s: float, call: Callable[[], Result]) -> Result:
    """Make a call in a thread of its own; what outlasts the limit is left to itself.

    Raises:
        TimeoutError: it outlasts the limit.
    """
    found: list[Result] = []
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    if wrong:
        raise wrong[0]
    if not found:
        raise TimeoutError(f"no answer within {limit_s:g} s")
    return found[0]


def _pause(attempt: int) -> None:
    if attempt + 1 < PATIENCE.tries:
        time.sleep(PATIENCE.wait_s * 2**attempt * random.uniform(0.5, 1.0))


def _refused(where: str, error: BaseException) -> str:
    return (
        f"{where}: the store refuses access: {_words(error)}; give credentials (of S3: AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or a profile; FSSPEC_S3_ANON=true for a public bucket)"
    )


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
