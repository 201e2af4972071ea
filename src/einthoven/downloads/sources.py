"""What can be downloaded, and what its list of checksums says: a table of sources and two kinds of list.

Every path of a list is checked before it is used, so that no list can write outside the folder it is meant for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin

import yaml

from einthoven.downloads.client import DownloadError
from einthoven.errors import nearest

__all__ = ["LEDGER_NAME", "Part", "Source", "Wanted", "find_source", "list_sources", "read_list"]

LEDGER_NAME = ".einthoven-download"


@dataclass(frozen=True, slots=True)
class Part:
    """A selection of a source.

    ``skip`` are globs over the whole path; ``prepare`` is what ``einthoven prepare`` must be told of it.
    """

    skip: tuple[str, ...]
    n_bytes: int
    prepare: str = ""

    def has(self, path: str) -> bool:
        """Whether a file of the list belongs to this part."""
        return not any(fnmatchcase(path, glob) for glob in self.skip)


@dataclass(frozen=True, slots=True)
class Source:
    """A published corpus: where it is, under which licence, and how it asks to be cited."""

    name: str
    title: str
    version: str
    kind: str
    base: str
    homepage: str
    licence: str
    citation: str
    parts: Mapping[str, Part]
    articles: tuple[int, ...] = ()
    then: str = ""
    label: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.name} {self.version}")

    def lists(self, base: str) -> dict[str, str]:
        """File name and URL of each list of checksums, under this base URL."""
        if self.kind == "physionet":
            return {"SHA256SUMS.txt": base + "SHA256SUMS.txt"}
        return {f"figshare-{n}.json": f"{base}articles/{n}/files?page_size=100" for n in self.articles}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a list: its path below the destination, its URL and its published checksum."""

    path: str
    url: str
    algorithm: str
    digest: str
    n_bytes: int | None = None


@cache
def list_sources() -> dict[str, Source]:
    """The table of sources, by name."""
    text = Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8")
    return {name: _source(name, row) for name, row in yaml.safe_load(text).items()}


def _source(name: str, row: dict[str, Any]) -> Source:
    parts = {"all": Part((), row.pop("bytes"))}
    for part, selection in row.pop("parts", {}).items():
        parts[part] = Part(tuple(selection["skip"]), selection["bytes"], selection.get("prepare", ""))
    return Source(name, parts=parts, articles=tuple(row.pop("articles", ())), **row)


def find_source(name: str) -> Source:
    """The source of this name.

    Raises:
        DownloadError: there is none; the nearest name is given.
    """
    sources = list_sources()
    if name not in sources:
        raise DownloadError(f"cannot download {name!r}{nearest(name, sources)}; known are {', '.join(sources)}")
    return sources[name]


def read_list(kind: str, text: str, url: str) -> list[Wanted]:
    """Read a list of checksums that was fetched from ``url``.

    Raises:
        DownloadError: it is not such a list, or a path in it would leave the destination.
    """
    readers: dict[str, Callable[[str, str], Iterator[Wanted]]] = {"physionet": _sums, "figshare": _figshare}
    wanted = list(readers[kind](text, url))
    paths = {file.path for file in wanted}
    if not wanted:
        raise DownloadError(f"{url}: an empty list of checksums; nothing can be verified by it")
    if len(paths) < len(wanted):
        raise DownloadError(f"{url}: the list of checksums names a file twice")
    for file in wanted:
        _refuse_escape(file.path, url)
        if f"{file.path}.part" in paths or f"{file.path}.part.tag" in paths:
            raise DownloadError(f"{url}: {file.path}.part is a listed file, and would be the unfinished {file.path}")
    return wanted


def _sums(text: str, url: str) -> Iterator[Wanted]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        # as sha256sum writes it: two spaces, or space and asterisk, before the name; PhysioNet writes one space
        match = re.fullmatch(r"([0-9a-fA-F]{64})(?: [ *]?)(\S.*)", line)
        if not match:
            raise DownloadError(f"{url}, line {number}: {line[:60]!r} is not '<sha256> <path>'; no list of checksums")
        path = match[2]
        yield Wanted(path, urljoin(url, quote(path)), "sha256", match[1].lower())


def _figshare(text: str, url: str) -> Iterator[Wanted]:
    try:
        rows = json.loads(text)
        for row in rows:
            if not re.fullmatch("[0-9a-f]{32}", row["computed_md5"]):
                raise ValueError(f"{row['name']} has no MD5")
            yield Wanted(row["name"], row["download_url"], "md5", row["computed_md5"], int(row["size"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(f"{url}: not figshare's list of files ({error})") from None


def _refuse_escape(path: str, url: str) -> None:
    parts = PurePosixPath(path).parts
    plain = not path.startswith("/") and "\\" not in path and ":" not in path and path.isprintable()
    if not plain or not parts or ".." in parts or parts[0] == LEDGER_NAME or str(PurePosixPath(path)) != path:
        raise DownloadError(f"{url}: the path {path!r} in the list of checksums is refused: it could leave the folder")
