"""Where a dataset is written: a folder, or a URL, to which each shard is sent as soon as it is whole.

Shards first, then the tables, ``dataset.json`` last: who opens the dataset meanwhile finds the old one, or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from einthoven.dataset.cache import cache_folder
from einthoven.dataset.folder import Dataset, open_dataset
from einthoven.dataset.locking import refuse_other, this_writer, writer_lock
from einthoven.dataset.remote import Remote, remote_of
from einthoven.dataset.urls import url_of
from einthoven.errors import DatasetError
from einthoven.files import read_json, sha256_of, write_json

__all__ = ["Destination"]

_TABLES = ("features.parquet", "skipped.csv", "label_losses.csv", "records.parquet")
_LOCK = "writer.json"


class Destination:
    """A place to write a dataset to.

    Args:
        where: a folder or URL.

    Attributes:
        path: the folder that is written; of a URL one in the cache, which holds what was not sent yet.
        url: where it is sent; None of a folder.
    """

    def __init__(self, where: str | Path) -> None:
        self.url = url_of(where)
        name = hashlib.sha256((self.url or "").encode()).hexdigest()[:16]
        self.path = Path(where) if self.url is None else cache_folder() / "uploads" / name

    def __str__(self) -> str:
        return self.url or str(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer.

        Raises:
            DatasetError: another process writes there.
        """
        with writer_lock(self.path):
            if self.url is None:
                yield
                return
            remote = self._remote()
            with contextlib.suppress(FileNotFoundError):
                refuse_other(remote.read(_LOCK).decode("utf-8", "replace"), self.url, f"delete {self.url}/{_LOCK}")
            remote.make_folder()
            remote.put_text(json.dumps(this_writer()), _LOCK)
            try:
                self._learn(remote)
                yield
            finally:
                remote.remove(_LOCK)

    def open(self) -> Dataset:
        """The dataset that is there."""
        return open_dataset(self.url or self.path)

    @property
    def complete(self) -> bool:
        """Whether a whole dataset is there."""
        if self.url is not None:
            return self._remote().size("dataset.json") is not None
        return (self.path / "dataset.json").is_file()

    @property
    def occupied(self) -> bool:
        """Whether anything is there."""
        if self.url is not None:
            return any(name not in (_LOCK, "signals") for name in self._remote().names())
        return any(path.name != ".writer.json" for path in self.path.iterdir())

    def shard_files(self, k: int) -> tuple[Path, Path]:
        """Signals of a shard, and what says that they are whole."""
        return self.path / "signals" / f"{k:03d}.npy", self.path / "signals" / f"{k:03d}.json"

    def about_shard(self, k: int) -> dict[str, Any]:
        """What was noted of a shard."""
        return read_json(self.shard_files(k)[1], DatasetError, "a dataset")

    def has_shard(self, k: int) -> bool:
        """Whether a shard is there, whole and unaltered; at a URL its length is taken for that."""
        signals, about = self.shard_files(k)
        if not about.is_file():
            return False
        said = self.about_shard(k)
        if self.url is not None:
            return said.get("bytes") is not None and self._remote().size(f"signals/{signals.name}") == said["bytes"]
        return signals.is_file() and sha256_of(signals) == said.get("sha256")

    def keep_shard(self, k: int) -> None:
        """A shard was written: send it, where there is a URL, and free its space here."""
        if self.url is None:
            return
        signals, about = self.shard_files(k)
        write_json(about, self.about_shard(k) | {"bytes": signals.stat().st_size})
        for file in (signals, about):  # in this order: the note says that the signals are there
            self._remote().put(file, f"signals/{file.name}")
        signals.unlink()

    def drop_shards(self, first: int) -> None:
        """Forget shards from a number on, which no ``dataset.json`` names."""
        names = {path.name for path in (self.path / "signals").glob("*.*")}
        if self.url is not None:
            names |= set(self._remote().names("signals"))
        for name in names:
            if name.split(".")[0].isdigit() and int(name.split(".")[0]) >= first:
                (self.path / "signals" / name).unlink(missing_ok=True)
                if self.url is not None:
                    self._remote().remove(f"signals/{name}")

    def publish(self, about: dict[str, Any]) -> Dataset:
        """Write ``dataset.json``, after all that it speaks of."""
        tables = [name for name in _TABLES if (self.path / name).is_file()]
        about = about | {"tables": {name: sha256_of(self.path / name) for name in tables}}
        if self.url is not None:
            for name in tables:
                self._remote().put(self.path / name, name)
        write_json(self.path / "dataset.json", about)
        if self.url is not None:
            self._remote().put(self.path / "dataset.json", "dataset.json")
        return self.open()

    def write_plan(self, name: str, plan: dict[str, Any]) -> None:
        """Note what is being made, so that the same command can go on."""
        write_json(self.path / name, plan)
        if self.url is not None:
            self._remote().put(self.path / name, name)

    def drop(self, name: str) -> None:
        """Delete one of our files, if it is there."""
        (self.path / name).unlink(missing_ok=True)
        if self.url is not None:
            self._remote().remove(name)

    def _remote(self) -> Remote:
        assert self.url is not None
        return remote_of(self.url)

    def _learn(self, remote: Remote) -> None:
        """Take over what an interrupted run, on whatever machine, left at the URL."""
        (self.path / "signals").mkdir(exist_ok=True)
        there = set(remote.names())
        for name in ("plan.json", "append.json", "dataset.json"):
            (self.path / name).unlink(missing_ok=True)
            if name in there:
                (self.path / name).write_bytes(remote.read(name))
        notes = [name for name in remote.names("signals") if name.endswith(".json")]
        for name in {path.name for path in (self.path / "signals").glob("*.json")} - set(notes):
            (self.path / "signals" / name).unlink()
        for name in notes:
            if not (self.path / "signals" / name).is_file():
                (self.path / "signals" / name).write_bytes(remote.read(f"signals/{name}"))
