"""Predictions of concurrent requests: those that wait together are computed together.

One idea: a short record takes milliseconds, so it is judged on the event loop itself; handing it to a thread would cost
more. Whatever is longer goes to a thread, so that no one waits for a Holter recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from einthoven.bundle import Prediction
from einthoven.record import Record
from einthoven.serve.shelf import Model

__all__ = ["Judge"]

_MOST_VALUES = 12 * 60 * 500  # a minute of twelve leads
_BATCH = 8  # more make no record cheaper, and the first wait for the last

_Waiting = tuple[Record, "asyncio.Future[Prediction]"]


class Judge:
    """Judges records with one model."""

    def __init__(self, model: Model, threads: ThreadPoolExecutor) -> None:
        self._bundle = model.bundle
        self._threads = threads
        self._waiting: list[_Waiting] = []

    async def judge(self, record: Record) -> Prediction:
        """Return what the model says about a record."""
        loop = asyncio.get_running_loop()
        if record.signal.size > _MOST_VALUES:
            return await loop.run_in_executor(self._threads, self._bundle.predict, record)
        answer: asyncio.Future[Prediction] = loop.create_future()
        self._waiting.append((record, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._work)
        return await answer

    def _work(self) -> None:
        """Judge those that came in since the loop was last here."""
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        batch = [(record, answer) for record, answer in batch if not answer.done()]  # who hung up is not served
        if not batch:
            return
        try:
            predictions = self._predict([record for record, _ in batch])
        except Exception as error:
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), prediction in zip(batch, predictions, strict=True):
            answer.set_result(prediction)

    def _predict(self, records: Sequence[Record]) -> list[Prediction]:
        return self._bundle.predict_many(records)
