"""Reaching a Ray cluster, or starting one on this machine: quietly, and never waiting without end.

Ray itself waits for minutes for an address where nobody answers, and ends the process then; so the address is asked
before, and Ray connects in a thread that is not waited for longer than a limit.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.threads import available_cores

if TYPE_CHECKING:
    from einthoven.cluster.tasks import Cluster

__all__ = ["connect"]

_ANSWER_S, _CONNECT_S = 5.0, 20.0
_STARTS = 3  # Ray gives up after 30 s, which a busy machine may need
_STORE_BYTES = 512 * 2**20  # results are counts and names; what is large goes through files
# No statistics leave the machine; libraries of a worker do not compete for its core.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
_ALIKE = {"RAY_worker_niceness": "0"}  # Ray's workers would yield to all else; ours are as the processes of a machine
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
Announce = Callable[[str], None]


@contextmanager
def connect(address: str, announce: Announce = lambda _: None) -> Iterator[Cluster]:
    """Yield a cluster to work on.

    Args:
        address: ``HOST:PORT`` of a cluster of which this machine is a node, ``"auto"`` for the one that runs on this
            machine, or ``"local"``, which starts one here and ends it.
        announce: told in a sentence what happens.

    Raises:
        MissingExtraError: Ray is not installed.
        EinthovenError: nobody answers within seconds, it is no Ray cluster, one of another version of Ray or Python, or
            one that this machine is no node of.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingExtraError("--ray", "ray") from None
    from einthoven.cluster.tasks import Cluster

    if address == "local":
        with _environment({**_QUIET, **_ALIKE, **_told(_THREADS)}):
            announce("starting a Ray cluster on this machine")
            _start(ray)
    else:
        if address != "auto":
            _ask(address)
        with _environment(_QUIET):
            announce(f"connecting to the Ray cluster {address}")
            _within(_CONNECT_S, address, lambda: _init(ray, address, runtime_env={"env_vars": _told(_THREADS)}))
    cluster = Cluster()
    try:
        announce(f"Ray {ray.__version__}: {cluster}")
        yield cluster
    finally:
        cluster.close()
        ray.shutdown()


def _told(usual: Mapping[str, str]) -> dict[str, str]:
    """The usual values, except where the user has set others."""
    return {name: os.environ.get(name, value) for name, value in usual.items()}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _init(ray: Any, address: str, **options: Any) -> None:
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="einthoven", **options)


def _start(ray: Any) -> None:
    for start in range(_STARTS):
        try:
            return _init(
                ray,
                "local",
                num_cpus=available_cores(),
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
            )
        except Exception as error:  # Ray has no class for it
            ray.shutdown()
            if "timed out during startup" not in str(error) or start == _STARTS - 1:
                raise EinthovenError(f"Ray cannot start on this machine: {_first_sentence(error)}") from error
    raise AssertionError


def _ask(address: str) -> None:
    """Ask an address whether a server of Ray's kind (gRPC, which is HTTP/2) is there.

    Raises:
        EinthovenError: the address cannot be, or nobody answers.
    """
    host, colon, port = address.rpartition(":")
    if address.startswith("ray://") or not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise EinthovenError(
            f"--ray {address}: write HOST:PORT of a cluster that this machine is a node of (as 10.0.0.5:6379), auto "
            "for the one that runs here, or local to start one here"
        )
    preface, empty_settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"  # RFC 9113, section 3.4
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S) as talk:
            talk.sendall(preface + empty_settings)
            head = talk.recv(9)
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise EinthovenError(
            f"--ray {address}: nobody answers there ({why}); start a cluster with 'ray start --head --port {port}', or "
            "use --ray local"
        ) from None
    if len(head) < 4 or head[3] != empty_settings[3]:
        raise EinthovenError(f"--ray {address}: something answers there, but it is no Ray cluster; is the port right?")


def _within(limit_s: float, address: str, act: Callable[[], None]) -> None:
    """Call a function that might never return.

    Raises:
        EinthovenError: it failed, or took too long.
    """
    failed: list[BaseException] = []

    def safely() -> None:
        try:
            act()
        except BaseException as error:  # SystemExit too: Ray ends the process where it cannot connect
            failed.append(error)

    thread = threading.Thread(target=safely, daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise EinthovenError(f"--ray {address}: the cluster did not let us in within {limit_s:g} s; is it healthy?")
    if failed:
        raise EinthovenError(f"--ray {address}: {_in_words(failed[0])}") from failed[0]


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return f"{text.removeprefix('Exception: ')} Install the same versions on all nodes"
    if isinstance(error, ConnectionError):
        return "no Ray cluster runs on this machine; start one with 'ray start --head', or use --ray local"
    return f"Ray refuses: {_first_sentence(error)} (this machine must be a node of the cluster: 'ray start --address')"


def _first_sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
