"""Datasets at a URL, as far as they were fetched: tables at once, shards when they are needed, checked on arrival.

``EINTHOVEN_CACHE`` names the folder (``~/.cache/einthoven``), ``EINTHOVEN_CACHE_GB`` how much it may hold (20): what
was not used for longest goes first. A shard that is not what ``dataset.json`` says is moved aside and not used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from pathlib import Path

from einthoven.dataset.remote import Remote, remote_of
from einthoven.dataset.shards import Shard
from einthoven.errors import DatasetError
from einthoven.files import atomic_write, sha256_of, write_json

__all__ = ["DamagedShardError", "cache_folder", "cached_shard", "fetch_tables", "is_cached", "read_part"]

_HEADER = 128  # bytes of the header of a signal file; the record's checksum proves it
_OPTIONAL = ("features.parquet", "measured.parquet", "skipped.csv", "label_losses.csv")
_ONE_AT_A_TIME = threading.RLock()  # two threads that want one shard fetch it once


class DamagedShardError(DatasetError):
    """A shard arrived, and is not what its checksum says."""


def cache_folder() -> Path:
    """Where fetched datasets lie."""
    return Path(os.environ.get("EINTHOVEN_CACHE") or Path.home() / ".cache" / "einthoven")


def _limit_bytes() -> float:
    text = os.environ.get("EINTHOVEN_CACHE_GB", "20")
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise DatasetError(f"EINTHOVEN_CACHE_GB is {text!r}; give a number of gigabytes above 0")
    return limit * 1e9


def fetch_tables(url: str) -> Path:
    """Fetch everything but the signals of a dataset, and return its folder in the cache.

    Another ``dataset.json`` is another folder, so what was fetched never mixes with what the dataset was before.

    Raises:
        DatasetError: there is no dataset, or it cannot be had.
    """
    remote = remote_of(url)
    try:
        about = remote.read("dataset.json")
    except FileNotFoundError:
        partly = remote.size("plan.json") is not None
        raise DatasetError(
            f"{url}: this dataset is only partly prepared; run the same 'einthoven prepare' again"
            if partly
            else f"{url}: no dataset.json there; it is not a prepared dataset (see 'einthoven prepare')"
        ) from None
    name = f"{_short(url.encode())}-{_short(about)}"
    folder = cache_folder() / "datasets" / name
    if not (folder / "origin.json").is_file():
        (folder / "signals").mkdir(parents=True, exist_ok=True)
        for file in _table_names(remote):
            _fetch_table(remote, file, folder / file, json.loads(about).get("tables", {}).get(file))
        with atomic_write(folder / "dataset.json") as temporary:
            temporary.write_bytes(about)
        write_json(folder / "origin.json", {"url": url})  # last: the folder is complete but for shards
    return folder


def _fetch_table(remote: Remote, name: str, path: Path, sha256: str | None) -> None:
    with atomic_write(path) as temporary:
        remote.fetch(name, temporary)
        if sha256 is not None and sha256_of(temporary) != sha256:
            raise DatasetError(
                f"{remote.url}/{name}: its checksum differs from dataset.json; it was changed, or is being written: "
                "try again, or write the dataset anew"
            )


def _table_names(remote: Remote) -> list[str]:
    there = remote.names()
    splits = [f"splits/{name}" for name in remote.names("splits") if name.endswith((".csv", ".json"))]
    optional = [name for name in _OPTIONAL if name in there or (not there and remote.size(name) is not None)]
    return ["records.parquet", *optional, *splits]


def _short(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:12]


def is_cached(folder: Path, shard: Shard) -> bool:
    """Whether a shard is here."""
    return (folder / "signals" / shard.file).is_file()


def read_part(url: str, shard: Shard, begin: int, n: int) -> bytes:
    """Fetch bytes of a shard's samples only; whoever asks must check them."""
    return remote_of(url).read_part(f"signals/{shard.file}", _HEADER + begin, n)


def cached_shard(url: str, folder: Path, shard: Shard) -> Path:
    """The file of a shard, fetched unless it is here already.

    Raises:
        DamagedShardError: it arrived twice with a wrong checksum, and was moved to ``quarantine/``.
        DatasetError: it cannot be fetched.
    """
    path = folder / "signals" / shard.file
    with _ONE_AT_A_TIME:
        if path.is_file():
            os.utime(path)  # used now
            return path
        for _ in range(2):  # what was damaged on its way arrives whole the second time
            with atomic_write(folder / "quarantine" / shard.file) as temporary:
                remote_of(url).fetch(f"signals/{shard.file}", temporary)
            if sha256_of(aside := folder / "quarantine" / shard.file) == shard.sha256:
                _make_room(aside.stat().st_size)
                os.replace(aside, path)
                return path
    n = sum(1 for _ in (folder / "quarantine").glob("*.npy"))
    raise DamagedShardError(
        f"{url}/signals/{shard.file}: its checksum differs from dataset.json; it is not used and was put into "
        f"{folder / 'quarantine'} ({n} there); write it again, or set data.skip_damaged: true to leave its records out"
    )


def _make_room(n_bytes: int) -> None:
    """Delete what was not used for longest until a file of ``n_bytes`` fits."""
    files = sorted((s.st_mtime, s.st_size, path) for path in _shards() if (s := _stat(path)) is not None)
    room = _limit_bytes() - n_bytes - sum(size for _, size, _ in files)
    for _, size, path in files:
        if room >= 0:
            return
        path.unlink(missing_ok=True)  # who has it mapped keeps it
        room += size


def _shards() -> list[Path]:
    return [*(cache_folder() / "datasets").glob("*/signals/*.npy")]


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:  # another process made room
        return None
