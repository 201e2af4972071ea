"""Bytes over HTTP into an unfinished file, through drops, refusals and restarts: resumed wherever the server allows.

What arrives is not trusted here: whoever calls checks it. RFC 9110, sections 10.2.3 (Retry-After), 13.1.5 (If-Range)
and 14 (range requests).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from einthoven.errors import EinthovenError, MissingExtraError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["Client", "DownloadError", "Patience", "StoppedError", "size_of"]

_CHUNK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_MAX_HOPS = 5


class DownloadError(EinthovenError):
    """A corpus cannot be downloaded, or what came is not what was published."""


class StoppedError(Exception):
    """The download was stopped from outside; the unfinished file stays, to be continued."""


class _TransientError(Exception):
    """Worth another try, after ``wait_s`` where the server says so."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try: attempts without any gain, waits between them, and timeouts, all in seconds."""

    attempts: int = 6
    wrong: int = 3
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0
    connect_s: float = 15.0
    read_s: float = 60.0


class Client:
    """A pool of connections shared by the threads of one download.

    Args:
        n_connections: kept open to a host.
        patience: how long to try.
        stop: set from outside to end every transfer soon.

    Raises:
        MissingExtraError: urllib3 is not installed.
    """

    def __init__(self, n_connections: int, patience: Patience, stop: threading.Event) -> None:
        self._n_connections = n_connections
        self._patience = patience
        self._stop = stop
        self._answered = False
        self._pools: dict[str | None, PoolManager] = {}
        self._lock = threading.Lock()
        try:
            import urllib3 as _urllib3  # noqa: F401
        except ModuleNotFoundError:
            raise MissingExtraError("downloading", "download") from None

    def receive(self, url: str, part: Path, count: Callable[[int], None]) -> None:
        """Bring ``part`` to what the server holds at ``url``, continuing what is there already.

        Args:
            url: of the file.
            part: the unfinished file.
            count: is told of bytes as they arrive.

        Raises:
            DownloadError: refused, or no progress in all attempts.
            StoppedError: stopped from outside; ``part`` can be continued.
        """
        failures, furthest = 0, size_of(part)
        while True:
            try:
                return self._receive_once(url, part, count)
            except _TransientError as error:
                # a long file over a poor line fails often and still arrives: only attempts without gain count
                failures = failures + 1 if size_of(part) <= furthest else 0
                furthest = max(furthest, size_of(part))
                self._rest(url, error, failures)

    def _rest(self, url: str, error: _TransientError, failures: int) -> None:
        patience = self._patience
        if failures >= patience.attempts:
            raise DownloadError(f"{url}: {error}, {failures} times; the same command continues later") from None
        wait = error.wait_s
        if wait is None:
            wait = min(patience.first_wait_s * 2**failures, patience.longest_wait_s) * random.uniform(0.5, 1.0)
        elif wait > patience.longest_wait_s:
            raise DownloadError(f"{url}: {error}, and asks to wait {wait:.0f} s; the same command continues later")
        if self._stop.wait(wait):
            raise StoppedError

    def _receive_once(self, url: str, part: Path, count: Callable[[int], None]) -> None:
        offset, tag_path = size_of(part), part.with_name(part.name + ".tag")
        tag = tag_path.read_text(encoding="latin-1") if offset and tag_path.is_file() else ""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if tag:
            headers["If-Range"] = tag
        with self._open("GET", url, headers) as response:
            if response.status == 416 and offset:
                return  # nothing beyond what is here: the checksum tells whether it is all
            current = _validator(response)
            if response.status == 206:
                if not _continues(response, offset) or (tag and current and tag != current):
                    part.unlink(missing_ok=True)
                    raise _TransientError("the file changed on the server", 0.0)
            elif current:
                tag_path.write_text(current, encoding="latin-1")
            else:
                tag_path.unlink(missing_ok=True)
            with part.open("ab" if response.status == 206 else "wb") as file:
                for chunk in response.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    count(len(chunk))
                    if self._stop.is_set():
                        raise StoppedError

    def size(self, url: str) -> int | None:
        """What the server says a file's size is, in bytes; None where it does not say."""
        try:
            with self._open("HEAD", url, {}) as response:
                length = response.headers.get("Content-Length", "")
                return int(length) if length.isdigit() else None
        except (_TransientError, DownloadError):
            return None  # the fetch itself says what is wrong

    @contextmanager
    def _open(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
        from urllib3 import exceptions

        try:
            response = self._follow(method, url, dict(headers))
            self._answered = True
            try:
                yield response
            finally:
                # a body that was not read to its end would answer the next request of this connection
                response.close() if response.length_remaining else response.release_conn()
        except exceptions.NewConnectionError as error:
            if not self._answered:
                raise DownloadError(f"{url}: {urlsplit(url).hostname} cannot be reached ({_last(error)})") from None
            raise _TransientError(f"the connection failed ({_last(error)})") from None
        except (exceptions.TimeoutError, exceptions.ProtocolError, exceptions.ProxyError) as error:
            raise _TransientError(f"the connection broke off ({_last(error)})") from None
        except exceptions.HTTPError as error:
            raise DownloadError(f"{url}: {_last(error)}") from None

    def _follow(self, method: str, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        headers |= {"Accept-Encoding": "identity", "User-Agent": "einthoven"}
        for _ in range(_MAX_HOPS):
            response = self._pool(url).request(
                method, url, headers=headers, preload_content=False, redirect=False, retries=False
            )
            if response.status not in _REDIRECTS:
                _refuse(response, url)
                return response
            response.close()
            target = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise DownloadError(f"{url}: redirects to {target}, which is not encrypted; refused")
            url = target
        raise DownloadError(f"{url}: more than {_MAX_HOPS} redirects")

    def _pool(self, url: str) -> PoolManager:
        import urllib3

        where = urlsplit(url)
        proxy = None if proxy_bypass(where.hostname or "") else getproxies().get(where.scheme)
        with self._lock:
            if proxy not in self._pools:
                timeout = urllib3.Timeout(connect=self._patience.connect_s, read=self._patience.read_s)
                if proxy:
                    self._pools[proxy] = urllib3.ProxyManager(proxy, maxsize=self._n_connections, timeout=timeout)
                else:
                    self._pools[proxy] = urllib3.PoolManager(maxsize=self._n_connections, timeout=timeout)
            return self._pools[proxy]


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _refuse(response: BaseHTTPResponse, url: str) -> None:
    if response.status in (200, 206, 416):
        return
    response.close()
    reason = f"the server answers {response.status} {response.reason or ''}".rstrip()
    if response.status in _BUSY:
        raise _TransientError(reason, _retry_after(response.headers.get("Retry-After")))
    raise DownloadError(f"{url}: {reason}")


def _retry_after(text: str | None) -> float | None:
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _validator(response: BaseHTTPResponse) -> str:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _continues(response: BaseHTTPResponse, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _last(error: BaseException) -> str:
    """The innermost reason, without the name of urllib3's object before it."""
    text = str(error.args[-1] if error.args else error)
    return text.split("): ", 1)[-1] or type(error).__name__
