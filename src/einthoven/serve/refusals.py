"""A request that is not answered as asked: its status and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["RefusedError"]


class RefusedError(Exception):
    """Ends a request.

    Attributes:
        status: of HTTP.
        sentence: what was received, what is allowed, what to do.
        headers: of the answer.
        more: what the body has beside ``error``.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})
        self.more = dict(more or {})
