"""One writer at a time: a file in the dataset's folder says who writes, and a writer that died does not block."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from einthoven.errors import DatasetError

__all__ = ["is_alive", "refuse_other", "this_writer", "writer_lock"]

_FILE = ".writer.json"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Claim a folder for writing until the block ends.

    A writer of this machine that is gone (no process of its number that started when it did) is not heeded; of one on
    another machine nothing can be known, so it counts as alive.

    Raises:
        DatasetError: another process writes there, or nobody can.
    """
    path = folder / _FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sign(path)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written: {error.strerror or error}; name another folder") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _sign(path: Path) -> None:
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # only while we look and sign
        file.seek(0)
        refuse_other(file.read(), str(path.parent), f"delete {path}")
        file.truncate(0)
        file.write(json.dumps(this_writer()))


def this_writer() -> dict[str, Any]:
    """Who this process is: number, machine, when it was started, and since when it writes."""
    pid = os.getpid()
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": pid, "host": socket.gethostname(), "started": _started(pid), "since": since}


def refuse_other(text: str, where: str, remedy: str) -> None:
    """Refuse to write where a lock file's text names another living writer.

    Raises:
        DatasetError: it does.
    """
    try:
        owner = json.loads(text)
        pid, host, since = int(owner["pid"]), str(owner["host"]), owner["since"]
    except (ValueError, KeyError, TypeError):
        return  # empty, or of a writer that died while it signed
    if pid == os.getpid() and host == socket.gethostname():
        raise DatasetError(f"{where}: this very process writes there already")
    if is_alive(owner):
        raise DatasetError(
            f"{where}: process {pid} on {host} has been writing there since {since}; wait for it, or if it is gone, "
            f"{remedy}"
        )


def is_alive(owner: dict[str, Any]) -> bool:
    """Whether a writer lives, as far as can be known from this machine."""
    if owner["host"] != socket.gethostname():
        return True
    try:
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # there is one, of another user
    return owner.get("started") in (None, _started(int(owner["pid"])))


def _started(pid: int) -> str | None:
    """When a process was started, in words that only the system understands; None where it does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()} {fields[19]}"
    except (OSError, IndexError):
        return None
