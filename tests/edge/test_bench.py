import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_int8 import NAME, bundle_with_int8

from einthoven.bundle import load_bundle
from einthoven.cli.bench import _print_skipped
from einthoven.edge.bench import Settings, _ways_of, bench, flat_rows
from einthoven.edge.bench_figures import file_bytes, ratio, stated_auroc
from einthoven.edge.bench_lanes import STARTS, Lane, race
from einthoven.edge.bench_machine import busy, describe_machine
from einthoven.edge.bench_worker import Way, count_macs
from einthoven.errors import BundleError, RecipeError
from einthoven.threads import available_cores

BATCHES = {"window": 1, "record": 7, "batch": 4}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return bundle_with_int8(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def measured(small, tmp_path_factory):
    """What the command line prints and writes of two ways, three that cannot be, and one that was not asked for."""
    folder = tmp_path_factory.mktemp("out")
    ways = "onnx,int8,header,odd,broken"
    done = _einthoven("bench", small, "--rounds", 2, "--threads", 1, "--batch", 4, "--only", ways, "--out", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def _einthoven(*arguments):
    command = [sys.executable, "-m", "einthoven.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


# What is measured


def test_each_way_is_measured_and_what_cannot_be_is_named_with_its_reason(measured, small):
    found = json.loads((measured[1] / "bench.json").read_text())
    assert [row["way"] for row in found["rows"]] == ["onnx", "int8"]
    assert {each["way"]: each["why"] for each in found["skipped"]} == {
        "header": "no runtime here computes it",
        "broken": f"{small / 'model.broken.onnx'}: its checksum differs from bundle.json; the file was altered or damaged",
        "odd": f"unknown format 'punchcard'; formats are {', '.join(_kinds())}",
    }
    for line in ("small, header: no runtime here", "small, odd: unknown format 'punchcard'"):
        assert f"not measured: {line}" in measured[0]
    assert found["models"]["small"]["parameters"] == 473_349
    assert found["models"]["small"]["windows_of_a_record"] == 7


def _kinds():
    from einthoven.runtimes import RUNTIMES

    return RUNTIMES


def test_the_figures_of_a_way_are_possible_and_agree_with_each_other(measured, small):
    rows = {row["way"]: row for row in json.loads((measured[1] / "bench.json").read_text())["rows"]}
    assert rows["onnx"]["file_bytes"] == (small / "model.onnx").stat().st_size
    assert rows["int8"]["file_bytes"] < rows["onnx"]["file_bytes"] / 3
    for row in rows.values():
        memory, figures = row["memory_bytes"], row["threads"]["1"]
        assert 10e6 < memory["before"] < memory["loaded"] <= memory["first_record"] <= memory["peak"] < 1e9
        assert 0.05 < row["cold_start_s"] < 60
        assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p95"]
        assert figures["record_ms"] > figures["latency_ms"]["p50"]
        assert figures["windows_per_s"] > 0
    assert set(rows["int8"]["threads"]["1"]["speedup"]) == {"onnx"}
    assert rows["onnx"]["threads"]["1"]["speedup"] == {}
    assert rows["onnx"]["auroc"] == {"value": pytest.approx(0.9375, abs=1e-4), "split": "validation"}
    assert rows["int8"]["auroc"] is None


def test_tables_and_plot_are_written(measured):
    text, folder = measured
    rows = list(csv.DictReader((folder / "bench.csv").open()))
    assert [(row["way"], row["threads"]) for row in rows] == [("onnx", "1"), ("int8", "1")]
    found = json.loads((folder / "bench.json").read_text())
    stated = found["rows"][1]["threads"]["1"]["speedup"]["onnx"]["window"]
    assert float(rows[1]["window_speedup_onnx"]) == pytest.approx(stated["value"], rel=1e-5)
    assert len(flat_rows(found)[1]) == len(rows[1])
    assert f"{stated['value']:.2f} [{stated['low']:.2f}, {stated['high']:.2f}]" in text
    assert (folder / "bench.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (folder / "bench.svg").read_text()


def test_macs_are_those_of_the_convolutions_and_matrix_products():
    import torch
    from torch import nn

    module = nn.Sequential(nn.Conv1d(12, 8, 5, stride=2), nn.Conv1d(8, 8, 3, groups=4), nn.Flatten(), nn.Linear(352, 5))
    by_hand = 8 * 12 * 5 * 46 + 8 * 2 * 3 * 44 + 352 * 5
    assert count_macs(module.eval(), np.zeros((1, 12, 96), np.float32)) == by_hand
    recurrent = nn.LSTM(12, 32, batch_first=True).eval()
    assert count_macs(recurrent, np.zeros((1, 100, 12), np.float32)) == 100 * 4 * 32 * (12 + 32)
    assert torch.backends.mkldnn.enabled  # it is put back


def test_the_probe_is_repeated_and_torch_computes_with_the_threads_that_are_asked_for(small):
    import torch

    before = torch.get_num_threads()
    try:
        way = Way(str(small), "torch", 1)
        x, facts = way.windows(7)
        assert x.shape == (7, 12, 250)
        assert facts is None
        np.testing.assert_array_equal(x[3], x[0])
        assert len(way.seconds(available_cores(), 1, 3, 1)) == 3
        assert torch.get_num_threads() == available_cores()
        assert way.macs() == 31_769_728
    finally:
        torch.set_num_threads(before)


def test_without_a_compiler_torch_compile_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BundleError, match=r"needs a C\+\+ compiler"):
        Way(NAME, "compile", 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torch_compile_is_measured_when_asked_for(small):
    found = bench([str(small)], Settings(rounds=1, threads=(1,), batch=4, only=("torch", "compile")))
    assert [row["way"] for row in found["rows"]] == ["torch", "compile"]
    assert found["models"]["small"]["macs"] == 31_769_728
    assert found["rows"][1]["threads"]["1"]["speedup"]["torch"]["window"]["value"] > 0


def test_what_is_not_measured_of_every_model_is_said_once(capsys):
    skipped = [{"model": name, "way": "compile", "why": "it takes a minute"} for name in ("a", "b")]
    _print_skipped({"skipped": [skipped[0], {"model": "a", "way": "c", "why": "no runtime"}, skipped[1]]})
    assert capsys.readouterr().out.splitlines() == [
        "not measured: a, b, compile: it takes a minute",
        "not measured: a, c: no runtime",
    ]


def test_ways_of_a_lean_copy_are_those_whose_files_are_there(small):
    whole = load_bundle(small)
    lean = replace(whole, about={**whole.about, "left_out": ["model.onnx", "model.safetensors"]})
    ways = _ways_of(lean)
    assert ways["torch"] == ways["compile"] == "the bundle has no model.safetensors"
    assert ways["onnx"] == "the bundle has no model.onnx"
    assert ways["int8"] is None


# The race


class _Runner(Lane):
    """Notes its turns instead of computing."""

    def __init__(self, name, log, broken=False):
        super().__init__("m", name, Path(), BATCHES, (1,))
        self._log, self._broken = log, broken

    def start(self):
        self._log.append(f"start {self.way}")
        self.starts.append(1.0)
        self.why_not = "broken" if self._broken else None

    def warm_up(self):
        self._log.append(f"warm {self.way}")

    def turn(self):
        self._log.append(f"turn {self.way}")


def test_lanes_take_turns_another_begins_each_round_and_broken_ones_stand_aside():
    log, ticks = [], []
    race([_Runner("a", log), _Runner("b", log), _Runner("c", log, broken=True)], 3, lambda: ticks.append(1))
    starts, after = log[: 2 * STARTS + 1], log[2 * STARTS + 1 :]
    assert starts[:3] == ["start a", "start b", "start c"]
    assert "start c" not in starts[3:]
    assert after == ["warm a", "warm b", "turn a", "turn b", "turn b", "turn a", "turn a", "turn b"]
    assert len(ticks) == (STARTS + 1 + 3) * 3


def test_a_ratio_pairs_the_rounds_so_that_a_slow_minute_hits_both():
    quiet, slow = [[1.0, 1.1], [1.0, 1.2], [1.0, 1.0]], [[10.0, 11.0], [1.0, 1.2], [100.0, 100.0]]
    assert ratio(quiet, [[2 * s for s in each] for each in quiet])["value"] == pytest.approx(2)
    assert ratio(slow, [[2 * s for s in each] for each in slow]) == pytest.approx({"value": 2, "low": 2, "high": 2})


def test_a_process_that_dies_is_an_error_that_names_it(small):
    lane = Lane("small", "onnx", small, BATCHES, (1,))
    try:
        lane.start()
        assert lane.why_not is None
        os.kill(lane._process.pid, signal.SIGKILL)
        with pytest.raises(BundleError, match="small, onnx: its process ended with code -9"):
            lane.ask("memory")
    finally:
        lane.close()


def test_a_process_that_cannot_begin_says_why(tmp_path):
    lane = Lane("m", "onnx", tmp_path / "nowhere", BATCHES, (1,))
    lane._command[2] = "einthoven.edge.no_such_module"
    lane.start()
    lane.close()
    assert lane.why_not == (
        f"its process ended with code 1: {sys.executable}: No module named einthoven.edge.no_such_module"
    )


# What bundle and machine say


def test_an_artefacts_accuracy_is_of_its_proof_and_the_others_of_the_same_records(small):
    bundle = load_bundle(small)
    proof = {"split": "test", "macro_auroc": {"reference": 0.9, "artefact": 0.8}}
    int8 = {**bundle.about["artefacts"]["int8"], "proof": proof}
    proven = replace(bundle, about={**bundle.about, "artefacts": {"int8": int8}})
    assert stated_auroc(proven, "int8") == {"value": 0.8, "split": "test"}
    assert stated_auroc(proven, "torch") == stated_auroc(proven, "onnx") == {"value": 0.9, "split": "test"}
    assert stated_auroc(bundle, "compile")["split"] == "validation"
    assert stated_auroc(replace(bundle, about={**bundle.about, "metrics": {}}), "torch") is None
    assert file_bytes(bundle, "compile") == (small / "model.safetensors").stat().st_size


def test_a_busy_machine_is_told_and_a_quiet_one_is_not():
    machine = describe_machine()
    assert machine["cpu"]
    assert machine["packages"]["onnxruntime"]
    assert busy({"load": 0.2, "cores": 2}) is None
    assert busy({"load": None, "cores": 2}) is None
    assert busy({"load": 0.9, "cores": 1}).startswith("the machine is busy: load average 0.90 on 1 core;")


# Bad input


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "one round or more, got 0"),
        ({"batch": 0}, "one window or more, got 0"),
        ({"threads": (1, 999)}, "the cores that this process may use; got 999"),
        ({"threads": (0,)}, "threads are 1 to"),
    ],
)
def test_settings_that_measure_nothing_are_refused(wrong, message):
    with pytest.raises(RecipeError, match=message):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "no bundle 'nothing'"),
        ((NAME, NAME), f"{NAME}: named twice; each model is measured once"),
        ((NAME, "--only", "onx"), "no way 'onx' to compute ptbxl-superdiagnostic (did you mean 'onnx'?)"),
        ((NAME, "--rounds", "0"), "a measurement takes one round or more, got 0"),
        ((NAME, "--threads", "two"), "--threads are numbers, as 1,2; got 'two'"),
    ],
)
def test_what_cannot_be_measured_gets_a_sentence(arguments, message):
    from typer.testing import CliRunner

    from einthoven.cli.main import app

    done = CliRunner().invoke(app, ["bench", *arguments])
    assert isinstance(done.exception, (BundleError, RecipeError)), done.output
    assert message in str(done.exception)


def test_nothing_that_can_be_measured_is_an_error_with_the_reasons(small):
    with pytest.raises(BundleError, match="nothing can be measured: small, header: no runtime here computes it"):
        bench([str(small)], Settings(rounds=1, threads=(1,), only=("header",)))
