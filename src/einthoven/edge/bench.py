"""How large, how fast and how hungry is each way of computing a model? All take turns, each in a process of its own.

What is computed is the bundle's own probe, so no data is needed and every measurement computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from einthoven.bundle import Bundle, backends_of, load_bundle
from einthoven.edge.bench_figures import figures_of, file_bytes, ratio, stated_auroc
from einthoven.edge.bench_lanes import STARTS, Lane, race
from einthoven.edge.bench_machine import describe_machine
from einthoven.edge.bench_worker import windows_of_a_record
from einthoven.errors import BundleError, RecipeError, nearest
from einthoven.threads import available_cores, be_patient

__all__ = ["Settings", "bench", "flat_rows"]

Json = dict[str, Any]

_FILES = {"torch": "model.safetensors", "onnx": "model.onnx"}
_REFERENCES = ("torch", "onnx")  # of each model, that its other ways are compared with


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: in each of which every way has a turn.
        threads: numbers of threads to compute with; 1 and 2 by default, as far as there are cores.
        batch: windows at a time for the throughput.
        only: ways to measure: ``"torch"``, ``"compile"``, ``"onnx"`` or names of artefacts; where empty all but
            ``"compile"``.
        compile: measure ``torch.compile`` too, which takes a minute or more to compile.

    Raises:
        RecipeError: no round, no window, or threads that this process has no cores for.
    """

    rounds: int = 7
    threads: tuple[int, ...] = ()
    batch: int = 64
    only: tuple[str, ...] = ()
    compile: bool = False

    def __post_init__(self) -> None:
        cores = available_cores()
        if not self.threads:
            object.__setattr__(self, "threads", tuple(range(1, min(2, cores) + 1)))
        if self.rounds < 1:
            raise RecipeError(f"a measurement takes one round or more, got {self.rounds}")
        if self.batch < 1:
            raise RecipeError(f"a batch has one window or more, got {self.batch}")
        for wanted in self.threads:
            if not 1 <= wanted <= cores:
                raise RecipeError(f"threads are 1 to {cores}, the cores that this process may use; got {wanted}")


def bench(
    models: Sequence[str], settings: Settings, progress: Callable[[int, int], None] = lambda done, total: None
) -> Json:
    """Measure every way of computing each model.

    Args:
        models: bundle folders, run folders or pretrained names.
        settings: see ``Settings``.
        progress: called with turns done and their number.

    Returns:
        Plain values for JSON: ``machine``, ``settings``, ``models`` (by name: ``parameters``, ``macs`` of one window,
        None where no way of PyTorch was measured, and its shape), ``rows`` (of each model and way) and ``skipped``
        (ways that could not be measured, and ``why``). A row has ``file_bytes``, ``memory_bytes``, ``cold_start_s``,
        ``auroc`` where one is stated, and by the number of ``threads`` latencies, throughput and ``speedup``: how many
        times faster than PyTorch, than ONNX in fp32, and than the first model computed in the same way.

    Raises:
        BundleError: an unknown or damaged model, a way that no model has, none that can compute here, or one whose
            process died.
        RecipeError: a model named twice.
    """
    be_patient()  # the processes inherit it
    bundles = _open(models)
    ways, skipped = _ways(bundles, settings)
    machine = describe_machine()
    lanes = [_lane(name, bundles[name], way, settings) for name, way in ways]
    done = count(1)
    total = (STARTS + 1 + settings.rounds) * len(lanes)
    with ExitStack() as held:
        for lane in lanes:
            held.callback(lane.close)
        race(lanes, settings.rounds, lambda: progress(next(done), total))
        skipped += [{"model": lane.model, "way": lane.way, "why": lane.why_not} for lane in lanes if lane.why_not]
        lanes = [lane for lane in lanes if lane.why_not is None]
        if not lanes:
            reasons = "; ".join(f"{each['model']}, {each['way']}: {each['why']}" for each in skipped)
            raise BundleError(f"nothing can be measured: {reasons}")
        rows = [_row(bundles[lane.model], lane, lanes, settings) for lane in lanes]
        macs = {lane.model: lane.ask("macs") for lane in lanes if lane.way in ("torch", "compile")}
    return {
        "machine": machine,
        "settings": asdict(settings),
        "models": {name: _about(bundle, macs.get(name)) for name, bundle in bundles.items()},
        "rows": rows,
        "skipped": skipped,
    }


def _open(models: Sequence[str]) -> dict[str, Bundle]:
    """Bundles by names that differ."""
    bundles = [load_bundle(where) for where in models]
    places = [bundle.path.resolve() for bundle in bundles]
    for k, place in enumerate(places):
        if place in places[:k]:
            raise RecipeError(f"{models[k]}: named twice; each model is measured once")
    short = [_short(place) for place in places]
    names = [name if short.count(name) == 1 else str(where) for name, where in zip(short, models, strict=True)]
    return dict(zip(names, bundles, strict=True))


def _short(place: Path) -> str:
    """``recipe-001`` of a run's bundle, the folder's name of another."""
    run = place.parent
    return f"{run.parent.name}-{run.name}" if (run / "recipe.yaml").is_file() else place.name


def _ways(bundles: Mapping[str, Bundle], settings: Settings) -> tuple[list[tuple[str, str]], list[Json]]:
    """Ways to measure, as (model, way), and those that cannot be."""
    known = list(dict.fromkeys(way for bundle in bundles.values() for way in _ways_of(bundle)))
    for way in settings.only:
        if way not in known:
            raise BundleError(
                f"no way {way!r} to compute {', '.join(bundles)}{nearest(way, known)}; there are {', '.join(known)}, "
                "and others are made by einthoven export"
            )
    ways, skipped = [], []
    for name, bundle in bundles.items():
        for way, why_not in _ways_of(bundle).items():
            if settings.only and way not in settings.only:
                continue
            if way == "compile" and not (settings.compile or settings.only):
                why_not = "it takes a minute or more to compile; ask for it with --compile"
            if why_not:
                skipped.append({"model": name, "way": way, "why": why_not})
            else:
                ways.append((name, way))
    return ways, skipped


def _ways_of(bundle: Bundle) -> dict[str, str | None]:
    """Ways of a bundle, and why one cannot be measured, as far as its entries tell."""
    there, about = backends_of(bundle.about), bundle.about
    absent = {name: None if name in there else f"the bundle has no {file}" for name, file in _FILES.items()}
    ways = {"torch": absent["torch"], "compile": absent["torch"], "onnx": absent["onnx"]}
    for name, entry in about.get("artefacts", {}).items():
        ways[name] = None if entry["kind"] else "no runtime here computes it"
    return ways


def _lane(name: str, bundle: Bundle, way: str, settings: Settings) -> Lane:
    batches = {"window": 1, "record": windows_of_a_record(bundle), "batch": settings.batch}
    return Lane(name, way, bundle.path, batches, settings.threads)


def _row(bundle: Bundle, lane: Lane, lanes: Sequence[Lane], settings: Settings) -> Json:
    references = {way: _find(lanes, lane.model, way) for way in _REFERENCES}
    references["first"] = _find(lanes, lanes[0].model, lane.way)
    return {
        "model": lane.model,
        "way": lane.way,
        "file_bytes": file_bytes(bundle, lane.way),
        "auroc": stated_auroc(bundle, lane.way),
        "cold_start_s": median(lane.starts),
        "memory_bytes": {**lane.memory, "peak": lane.ask("memory")["peak"]},
        "threads": {
            str(n): figures_of(times, settings.batch)
            | {
                "speedup": {
                    name: {what: ratio(times[what], other.times[n][what]) for what in times}
                    for name, other in references.items()
                    if other is not None and other is not lane
                }
            }
            for n, times in lane.times.items()
        },
    }


def _find(lanes: Sequence[Lane], model: str, way: str) -> Lane | None:
    return next((lane for lane in lanes if (lane.model, lane.way) == (model, way)), None)


def _about(bundle: Bundle, macs: int | None) -> Json:
    return {
        "network": bundle.about["network"]["name"],
        "parameters": bundle.about["network"]["n_parameters"],
        "macs": macs,
        "leads": len(bundle.spec.leads),
        "window": bundle.window,
        "fs": bundle.spec.fs,
        "windows_of_a_record": windows_of_a_record(bundle),
    }


def flat_rows(found: Mapping[str, Any]) -> list[Json]:
    """One row per model, way and number of threads, for a table."""
    return [
        {**_flat_way(found["models"][row["model"]], row), "threads": int(threads), **_flat_times(figures)}
        for row in found["rows"]
        for threads, figures in row["threads"].items()
    ]


def _flat_way(model: Mapping[str, Any], row: Mapping[str, Any]) -> Json:
    auroc = row["auroc"] or {}
    return {
        **{name: row[name] for name in ("model", "way", "file_bytes", "cold_start_s")},
        **{name: model[name] for name in ("parameters", "macs")},
        **{f"memory_{name}_bytes": value for name, value in row["memory_bytes"].items()},
        "auroc": auroc.get("value"),
        "auroc_split": auroc.get("split"),
    }


def _flat_times(figures: Mapping[str, Any]) -> Json:
    return {
        **{f"{name}_ms": figures["latency_ms"][name] for name in ("p50", "p95")},
        **{name: figures[name] for name in ("record_ms", "windows_per_s")},
        **{
            f"{what}_speedup_{reference}{part}": each[what][key]
            for reference, each in figures["speedup"].items()
            for what in each
            for part, key in (("", "value"), ("_low", "low"), ("_high", "high"))
        },
    }
