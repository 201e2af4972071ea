"""Is it a folder or a URL? Told without any package for URLs."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["url_of"]

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):(/+)(.*)", re.S)  # two letters at least: C:/data is a folder


def url_of(where: str | Path) -> str | None:
    """The URL that a text is, without a slash at its end; None where it is a folder.

    A ``Path`` made of a URL has lost a slash, which is given back.

    >>> url_of("s3://bucket/ds/"), url_of(Path("s3://bucket/ds")), url_of(Path("file:///tmp/ds")), url_of("C:/ds")
    ('s3://bucket/ds', 's3://bucket/ds', 'file:///tmp/ds', None)
    """
    found = _URL.fullmatch(str(where))
    if found is None:
        return None
    scheme, rest = found[1].lower(), found[3].rstrip("/")
    return f"{scheme}:///{rest}" if scheme in ("file", "local") else f"{scheme}://{rest}"
