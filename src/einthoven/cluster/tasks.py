"""Work divided among the nodes of a Ray cluster, as ``processes.as_finished`` divides it among processes.

A job whose worker or node dies is done again elsewhere; jobs are such that one done twice is stored once. An error of
the work itself is raised here and not repeated.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from einthoven.cluster.hosting import hosted
from einthoven.errors import EinthovenError
from einthoven.processes import FanOut, Job, Result
from einthoven.training.recipe import Training

__all__ = ["Cluster", "enter"]

_RAY: Any = ray  # parts of it are not typed
_RETRIES = 5  # of a job whose worker or node died
_LOOK_S = 5.0
_DIED = (WorkerCrashedError, NodeDiedError, OutOfMemoryError)


@dataclass(frozen=True, slots=True)
class Place:
    """What every worker must find: the driver's folder, its version, and the shared folders.

    Attributes:
        folder: the driver's working folder, so that relative paths mean the same.
        version: of Einthoven: another gives other numbers.
        seen: files and folders of the driver.
    """

    folder: Path
    version: str
    seen: tuple[Path, ...] = ()


@dataclass(slots=True)
class Cluster:
    """A connected Ray cluster; made by ``connect``.

    Attributes:
        patience_s: how long no node may be there that could do the work, before that is an error.
    """

    patience_s: float = 300.0
    _seen: list[Path] = field(default_factory=list)
    _tokens: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        nodes, n_cpus, n_gpus = len(_nodes()), self.total("CPU"), self.total("GPU")
        gpus = f", {n_gpus:g} GPUs" if n_gpus else ""
        return f"{nodes} node{'s' * (nodes > 1)}, {n_cpus:g} CPUs{gpus}"

    def total(self, kind: str) -> float:
        """How many CPUs or GPUs the living nodes have."""
        return float(sum(node.get(kind, 0) for node in _nodes()))

    def as_finished(
        self, work: Callable[..., Result], jobs: Iterable[Job], workers: int | None = None
    ) -> Iterator[tuple[Job, Result]]:
        """Call ``work(*job)`` for every job, each on one CPU of some node; see ``processes.as_finished``.

        Args:
            work: importable by name on every node, or a ``partial`` of such a function.
            jobs: the arguments of each call; few are taken in advance.
            workers: calls at a time; by default as many as keep all CPUs busy.

        Raises:
            EinthovenError: whatever the work raises; or a job's worker died again and again, a node has another
                Einthoven or does not see the shared folders, or there is no node left.
        """
        return self._work(work, jobs, workers, 1.0, 0.0, ahead=2)  # so that no CPU waits for its next job

    def divide(self, needs: Training) -> FanOut:
        """``as_finished`` for trainings: each call has the threads that a recipe wants, and a GPU where nodes have any.

        Args:
            needs: section ``training`` of the recipe.
        """
        cpus = float(needs.threads or 1)
        gpus = 1.0 if needs.device != "cpu" and self.total("GPU") else 0.0

        def divided(
            work: Callable[..., Result], jobs: Iterable[Job], workers: int | None = None
        ) -> Iterator[tuple[Job, Result]]:
            return self._work(work, jobs, workers, cpus, gpus)

        return divided

    def share(self, folder: Path) -> None:
        """Demand that every worker sees a folder of this machine, which is made; one that does not is an error."""
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / f".shared-{os.urandom(6).hex()}"
        token.touch()
        self._tokens.append(token)
        self._seen.append(token)

    def need(self, *paths: Path) -> None:
        """Demand that every worker sees these files or folders."""
        self._seen += [path.absolute() for path in paths]

    def close(self) -> None:
        """Remove what ``share`` has left."""
        while self._tokens:
            self._tokens.pop().unlink(missing_ok=True)

    def host(self, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Make a function in a process of this machine, and return what calls it from any node; see ``hosting``."""
        return hosted(make)

    def place(self) -> Place:
        """What every worker must find."""
        return Place(Path.cwd(), version("einthoven"), tuple(self._seen))

    def _work(
        self,
        work: Callable[..., Result],
        jobs: Iterable[Job],
        workers: int | None,
        cpus: float,
        gpus: float,
        ahead: int = 1,
    ) -> Iterator[tuple[Job, Result]]:
        remote: Any = ray.remote(_call)
        call = remote.options(num_cpus=cpus, num_gpus=gpus, max_retries=_RETRIES, retry_exceptions=False)
        held = [ray.put((self.place(), work))]  # in a list: each worker fetches it once, not each call
        running: dict[Any, Job] = {}
        waiting, since = iter(jobs), time.monotonic()
        try:
            while True:
                room = (workers or ahead * self._room(cpus, gpus)) - len(running)  # a node that joins is used
                running |= {call.remote(held, job): job for job in islice(waiting, max(0, room))}
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1, timeout=_LOOK_S)
                if done or self._possible(cpus, gpus):
                    since = time.monotonic()
                elif time.monotonic() - since > self.patience_s:
                    raise EinthovenError(_nowhere(cpus, gpus, self.patience_s))
                for reference in done:
                    yield running.pop(reference), _result(reference)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _room(self, cpus: float, gpus: float) -> int:
        """How many calls fit at a time."""
        fits = [min(n.get("CPU", 0) // cpus, n.get("GPU", 0) // gpus if gpus else 1e9) for n in _nodes()]
        return max(1, int(sum(fits)))

    def _possible(self, cpus: float, gpus: float) -> bool:
        return any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in _nodes())


def _nodes() -> list[dict[str, float]]:
    """Resources of each living node."""
    return [node["Resources"] for node in _RAY.nodes() if node["Alive"]]


def _nowhere(cpus: float, gpus: float, seconds: float) -> str:
    needed = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    return (
        f"no node of the cluster has had {needed} for {seconds:g} s, so nothing goes on; add nodes, and run the same "
        "command again"
    )


def _result(reference: Any) -> Any:
    """The result of a call that has ended.

    Raises:
        EinthovenError: what the work raised, or its worker died too often.
    """
    try:
        result, error = ray.get(reference)
    except _DIED as death:
        raise EinthovenError(
            f"a worker died {_RETRIES + 1} times over the same job ({type(death).__name__}: out of memory?); the same "
            "command goes on"
        ) from None
    except RayTaskError as defect:
        if "No module named 'einthoven" in str(defect):
            raise EinthovenError("a node of the cluster has no Einthoven; install this version on all nodes") from None
        raise
    if error is not None:
        raise error
    return result


def _call(held: Sequence[Any], job: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """On a worker: do one job; errors that a user can act on are returned, so that they arrive as they are."""
    assigned = _RAY.get_runtime_context().get_assigned_resources().get("CPU", 1)
    os.environ["EINTHOVEN_CORES"] = str(max(1, int(assigned)))  # of a node that others use too
    try:
        return _fetched(held[0])(*job), None
    except EinthovenError as error:
        return None, _portable(error)
    except OSError as error:
        return None, error


def _portable(error: EinthovenError) -> EinthovenError:
    """An error that can be sent, whatever its class wants to be made from."""
    kind = type(error)
    try:
        kind(str(error))
    except TypeError:
        return EinthovenError(str(error))
    return error


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[..., Any]:
    place, work = ray.get(reference)
    enter(place)
    return work


def enter(place: Place) -> None:
    """Make a worker's process stand where the driver stands.

    Raises:
        EinthovenError: another Einthoven, or a folder that is not there.
    """
    where = _RAY.util.get_node_ip_address()
    if (own := version("einthoven")) != place.version:
        raise EinthovenError(
            f"the node {where} has Einthoven {own}, and this machine {place.version}; install the same on all nodes"
        )
    for path in (place.folder, *place.seen):
        if not path.exists():
            shown = path.parent if path.name.startswith(".shared-") else path
            raise EinthovenError(
                f"the node {where} does not see {shown}: all nodes need the same folders under the same names, as from "
                "shared storage; see docs/cluster.md"
            )
    os.chdir(place.folder)
