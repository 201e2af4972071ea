"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from einthoven.errors import EinthovenError

__all__ = ["atomic_write", "read_json", "sha256_of", "write_json"]


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the final name when the block ends well.

    Raises:
        EinthovenError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    # two machines may have a process of this number
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o644)  # some writers make files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        raise EinthovenError(f"cannot write {path}: {error.strerror or error}; nothing was half-written") from error
    finally:
        with suppress(OSError):  # the error that brought us here says more
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all. NaN is refused: JSON has none."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, error: type[EinthovenError], what: str) -> dict[str, Any]:
    """Read a JSON object, or raise ``error`` that names the file and what it should have been."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path}: not found; {path.parent} is not {what}") from None
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read as JSON: {cause}") from None
    if not isinstance(value, dict):
        raise error(f"{path}: a JSON object was expected, not a {type(value).__name__}")
    return value


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
