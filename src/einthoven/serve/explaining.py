"""Explanations on request: one at a time, in a thread, with an end."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from einthoven.bundle import Bundle
from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.record import Record
from einthoven.serve.refusals import RefusedError
from einthoven.serve.settings import Settings
from einthoven.serve.shelf import Model

__all__ = ["Explainer"]

_NEEDED = ("torch", "captum")


class Explainer:
    """Explains records, a few at a time; it loads torch with the first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.explanations, "explain")
        self._running = 0

    async def explain(
        self, model: Model, record: Record, method: str, classes: Sequence[str] | None, attributions: bool
    ) -> dict[str, Any]:
        """Return an explanation as plain values.

        A thread cannot be stopped: one that outlives its time keeps its place until it ends, so that no more than the
        allowed number ever run.

        Raises:
            RefusedError: packages are missing (501), others are being explained (429), it takes too long (503), or the
                record, method or class is not fit (422).
        """
        if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
            raise RefusedError(
                501, f"explanations need {' and '.join(missing)}: install them with  pip install 'einthoven[explain]'"
            )
        if self._running >= self._settings.explanations:
            raise RefusedError(429, "another ECG is being explained; try again", {"Retry-After": "5"})
        self._running += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, _explain, model.bundle, record, method, classes, attributions)
        work.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(work), self._settings.explain_timeout_s)
        except TimeoutError:
            raise RefusedError(
                503,
                f"the explanation takes longer than {self._settings.explain_timeout_s:g} s; cut the ECG, or ask for "
                "fewer classes or method=gradcam",
                {"Retry-After": "30"},
            ) from None
        except MissingExtraError as error:
            raise RefusedError(501, str(error)) from None
        except EinthovenError as error:
            raise RefusedError(422, str(error)) from None

    def _ended(self, work: asyncio.Future[dict[str, Any]]) -> None:
        self._running -= 1
        if not work.cancelled():
            work.exception()  # one that came too late has nobody to hear it

    def close(self) -> None:
        """Let no more begin."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _explain(
    bundle: Bundle, record: Record, method: str, classes: Sequence[str] | None, attributions: bool
) -> dict[str, Any]:
    from einthoven.explain import explain

    found = explain(bundle, record, method=method, classes=classes)
    answer = found.to_dict()
    if attributions:
        answer["attributions"] = {
            "leads": list(found.record.leads),
            "fs": found.record.fs,
            "values": {name: found.of(name).astype(float).round(6).tolist() for name in found.classes},
        }
    return answer
