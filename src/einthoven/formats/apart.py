"""Files that nobody vouches for, read in a process of its own, which can be stopped whatever it does.

One idea: a thread can be neither stopped nor held to a share of the memory, a process to both. It answers with JSON and
samples, so that not even its answer is trusted with code.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from einthoven.errors import EinthovenError, RecordError
from einthoven.formats.files import MemoryFiles
from einthoven.formats.registry import read_record
from einthoven.record import Beats, Record

__all__ = ["read_apart"]

_SIZE = struct.Struct("<Q")
_READY = b"\x01"
_START_S = 120.0  # a busy machine imports slowly
_MOST_HEAD = 1 << 26  # a day's beats and their symbols
_MOST_IDLE = 4
_PLAIN: tuple[str, ...] = (
    "fs",
    "leads",
    "record_id",
    "patient_id",
    "age",
    "sex",
    "statements",
    "label_system",
    "interpretation",
)
_PLAIN += ("source", "unit", "notes")
_OPTIONS = ("fs", "unit", "leads", "beats")


def read_apart(
    name: str, contents: Mapping[str, bytes], stated: Mapping[str, Any], *, seconds: float, memory: int
) -> Record:
    """Read one ECG of any known format in another process.

    Args:
        name: of the file that stands for the record.
        contents: this file and those beside it, by name.
        stated: ``fs``, ``unit``, ``leads`` and ``beats`` of ``read_record``.
        seconds: after which the process is killed.
        memory: bytes that reading may take beyond what the process starts with (held to on Linux only).

    Raises:
        RecordError: as ``read_record``; or too slow, too large, or the process died of the file.
    """
    process = _take(memory)
    try:
        reply, samples = process.ask(name, contents, stated, seconds)
    finally:
        _give_back(process)
    if "error" in reply:
        raise RecordError(reply["error"])
    return _record(reply, samples)


class _Process:
    """One reader, and the folder that its libraries may write to, which goes when it goes."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._folder = tempfile.mkdtemp(prefix="einthoven-")
        # Libraries warn on standard error of what they find, which may be facts of a patient.
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "einthoven.formats.apart", str(memory), self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._stopped = False
        with self._limit(_START_S):
            ready = self._out.read(1)
        if ready != _READY:
            self.close()
            raise EinthovenError("the process that reads uploads does not start; is the machine out of memory?")

    @property
    def _in(self) -> BinaryIO:
        assert self._popen.stdin
        return self._popen.stdin  # type: ignore[return-value]

    @property
    def _out(self) -> BinaryIO:
        assert self._popen.stdout
        return self._popen.stdout  # type: ignore[return-value]

    @property
    def usable(self) -> bool:
        """Whether it can be asked again."""
        return self._popen.poll() is None

    def _limit(self, seconds: float) -> _Limit:
        return _Limit(seconds, self._stop)

    def _stop(self) -> None:
        self._stopped = True
        self._popen.kill()

    def ask(
        self, name: str, contents: Mapping[str, bytes], stated: Mapping[str, Any], seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Send a file and return the answer; the process is dead afterwards where none came."""
        sizes = {key: len(content) for key, content in contents.items()}
        try:
            with self._limit(seconds):
                _send(self._in, {"name": name, "sizes": sizes, "stated": dict(stated)}, *contents.values())
                return _receive(self._out, self.memory)
        except (OSError, EOFError, ValueError) as error:
            self.close()
            raise RecordError(f"{name}: {self._why(seconds)}") from error

    def _why(self, seconds: float) -> str:
        if self._stopped:
            return f"reading was stopped after {seconds:.2g} s; is the file damaged? Cut it, or save it in another form"
        return "reading was given up, because it needs too much memory or breaks the reader; is the file damaged?"

    def close(self) -> None:
        """End the process, and remove what it wrote."""
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._in, self._out):
            with suppress(OSError):  # what was not yet sent has no reader any more
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Limit:
    """Call ``stop`` unless the block ends in time."""

    def __init__(self, seconds: float, stop: Any) -> None:
        self._timer = threading.Timer(seconds, stop)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


# Starting one takes half a second: those at rest wait for the next file.
_idle: list[_Process] = []
_lock = threading.Lock()


def _take(memory: int) -> _Process:
    with _lock:
        for process in [each for each in _idle if each.memory == memory]:
            _idle.remove(process)
            if process.usable:
                return process
            process.close()
    return _Process(memory)


def _give_back(process: _Process) -> None:
    with _lock:
        if process.usable and len(_idle) < _MOST_IDLE:
            _idle.append(process)
            return
    process.close()


@atexit.register
def _close_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # two processes must not talk through the same pipe


def _record(reply: Mapping[str, Any], samples: bytes) -> Record:
    facts = {key: reply[key] for key in _PLAIN}
    facts |= {key: tuple(facts[key]) for key in ("leads", "interpretation", "notes")}
    beats = reply["beats"]
    return Record(
        signal=np.frombuffer(samples, np.float32).reshape(reply["shape"]),
        beats=beats and Beats(np.array(beats[0], np.int64), np.array(beats[1], str)),
        **facts,
    )


def _send(pipe: BinaryIO, head: Mapping[str, Any], *bodies: Any) -> None:
    text = json.dumps(head).encode()
    pipe.write(_SIZE.pack(len(text)) + text)
    for body in bodies:
        pipe.write(body)
    pipe.flush()


def _exactly(pipe: BinaryIO, n_bytes: int) -> bytes:
    found = pipe.read(n_bytes)
    if len(found) < n_bytes:
        raise EOFError
    return found


def _head(pipe: BinaryIO) -> dict[str, Any]:
    size = _SIZE.unpack(_exactly(pipe, _SIZE.size))[0]
    if size > _MOST_HEAD:
        raise ValueError("the answer is too long")
    head: dict[str, Any] = json.loads(_exactly(pipe, size))
    return head


def _receive(pipe: BinaryIO, most: int) -> tuple[dict[str, Any], bytes]:
    head = _head(pipe)
    n_bytes = head.get("n_bytes", 0)
    if not 0 <= n_bytes <= most:
        raise ValueError("the answer is too long")
    return head, _exactly(pipe, n_bytes)


# What follows runs in the other process.


def _answer(name: str, contents: Mapping[str, bytes], stated: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    try:
        record = read_record(MemoryFiles(name, contents), **{key: stated[key] for key in _OPTIONS if key in stated})
    except EinthovenError as error:
        return {"error": str(error)}, b""
    except (MemoryError, ImportError):  # a library that is there does not load where the memory has run out
        return {"error": f"{name}: needs more memory than an upload may take; is the file damaged?"}, b""
    except Exception as error:  # a defect of ours must not take the next file's reader with it
        return {"error": f"{name}: cannot be read, by a defect of Einthoven ({type(error).__name__}); report it"}, b""
    signal_ = np.ascontiguousarray(record.signal)
    beats = record.beats and [record.beats.samples.tolist(), record.beats.symbols.tolist()]
    facts = {key: getattr(record, key) for key in _PLAIN}
    facts |= {"statements": dict(record.statements), "beats": beats}
    return {**facts, "shape": signal_.shape, "n_bytes": signal_.nbytes}, signal_.data.cast("B")


def _limit_memory(n_bytes: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + n_bytes, now + n_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of the memory would be a trace


def _serve(arguments: Sequence[str]) -> None:
    memory, folder = int(arguments[0]), arguments[1]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    tempfile.tempdir = folder
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    _limit_memory(memory)
    answers.write(_READY)
    answers.flush()
    questions = sys.stdin.buffer
    try:
        while True:
            head = _head(questions)
            contents = {key: _exactly(questions, size) for key, size in head["sizes"].items()}
            _send(answers, *_answer(head["name"], contents, head["stated"]))
            del contents
    except (EOFError, BrokenPipeError):  # the parent has gone
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _serve(sys.argv[1:])
