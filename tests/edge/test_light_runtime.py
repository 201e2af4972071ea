"""What runs on a device: neither torch, pandas nor scipy.signal, and a first answer at once."""

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
import pytest
from small_int8 import NAME, bundle_with_int8

from einthoven.bundle import load_bundle

HEAVY = ("torch", "pandas", "scipy", "matplotlib", "onnx", "wfdb")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return bundle_with_int8(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def files(corpus_folder, tmp_path_factory):
    """The same synthetic ECG as WFDB and as CSV."""
    from einthoven.formats import read_record

    header = sorted(corpus_folder.glob("records100/*/*.hea"))[0]
    record = read_record(header)
    time_s = np.arange(record.n_samples)[:, None] / record.fs
    table = tmp_path_factory.mktemp("csv") / "ecg.csv"
    names = ",".join(["time_s", *record.leads])
    np.savetxt(table, np.hstack([time_s, record.signal.T]), delimiter=",", header=names, comments="", fmt="%.5f")
    return {"wfdb": header, "csv": table}


@pytest.mark.parametrize("backend", ["onnx", "int8"])
@pytest.mark.parametrize("kind", ["csv", "wfdb"])
def test_predicting_from_a_file_loads_no_heavy_package(small, files, backend, kind):
    code = (
        "import json, sys, einthoven\n"
        f"record = einthoven.read_record({str(files[kind])!r})\n"
        f"said = einthoven.load_bundle({str(small)!r}, backend={backend!r}).predict(record)\n"
        f"loaded = sorted(set({HEAVY!r}) & {{name.split('.')[0] for name in sys.modules}})\n"
        "print(json.dumps([loaded, said.refused, {f.name: f.probability for f in said.findings}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, refused, probabilities = json.loads(done.stdout)
    assert loaded == []
    assert not refused
    assert list(probabilities) == list(load_bundle(small).classes)


def test_measuring_ways_of_onnx_loads_no_heavy_package():
    """Nor does the one who asks: a device without torch and matplotlib can be measured on itself."""
    code = (
        "import sys, einthoven.cli.main, einthoven.edge.bench, einthoven.edge.bench_worker, einthoven.evaluation.tables\n"
        f"print(sorted(set({HEAVY!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["export", "--help"], ["bench", "--help"], ["list", "exports"]])
def test_what_only_prints_loads_neither_numpy_nor_a_heavy_package(arguments):
    code = (
        "import sys\n"
        "from einthoven.cli.main import run\n"
        f"sys.argv = ['einthoven', *{arguments!r}]\n"
        "try:\n    run()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(sorted(set({(*HEAVY, 'numpy')!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def _predict(*arguments, env=None):
    command = [sys.executable, "-m", "einthoven.cli", "predict", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_the_command_line_predicts_with_the_backend_that_is_named(small, files):
    done = _predict(small, files["csv"], "--backend", "int8", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["backend"] == "int8"
    reference = json.loads(_predict(small, files["csv"], "--json").stdout)
    own, other = ([f["probability"] for f in each["results"][0]["findings"]] for each in (said, reference))
    assert own != other
    np.testing.assert_allclose(own, other, atol=0.2)
    assert _predict(small, files["csv"], "--backend", "int8").stdout.splitlines()[0].endswith(f"({NAME}, int8)")


def test_a_backend_that_the_bundle_lacks_is_refused_in_a_sentence(files):
    done = _predict(NAME, files["csv"], "--backend", "int8")
    assert done.returncode == 2
    assert "no backend 'int8'; this bundle has onnx, torch; others are made by einthoven export" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_predicts_one_file_without_what_only_draws(files):
    code = (
        "import sys\n"
        "from einthoven.cli.main import app, run\n"
        f"sys.argv = ['einthoven', 'predict', {NAME!r}, {str(files['csv'])!r}]\n"
        "try:\n    run()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(sorted(set({(*HEAVY, 'rich')!r}) & set(sys.modules)), len(app.registered_commands) > 10)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] True"  # nor does it forget the other commands


def test_a_cold_process_predicts_in_little_time(files, tmp_path):
    """In processor time, which others on the machine stretch less than the clock; a quiet machine takes half of this."""
    resource = pytest.importorskip("resource")
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled["PYTHONPYCACHEPREFIX"] = str(tmp_path)  # as pip leaves a package: compiled, here by the first start

    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    took = []
    for _ in range(4):
        before = spent()
        assert _predict(NAME, files["wfdb"], env=compiled).returncode == 0
        took.append(spent() - before)
    assert min(took[1:]) < 1.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_alone_predicts_from_its_console_script_in_under_a_second(files, tmp_path):
    """Core dependencies only, in an environment of its own."""
    pytest.importorskip("build")
    source = tmp_path / "source"  # a copy: an earlier build must not be part of the wheel, nor this one stay behind
    shutil.copytree(REPOSITORY / "src" / "einthoven", source / "src" / "einthoven")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (tmp_path / "dist").glob("einthoven-*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    pip = [str(binaries / "python"), "-m", "pip"]
    install = [*pip, "install", "-c", str(REPOSITORY / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True, cwd=tmp_path)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True, text=True)
    installed = {each["name"].lower() for each in json.loads(listed.stdout)}
    assert not installed & {"torch", "pandas", "matplotlib", "onnx", "wfdb"}
    took = []
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for _ in range(5):
        began = time.perf_counter()
        command = [str(binaries / "einthoven"), "predict", NAME, str(files["csv"])]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=alone)
        took.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
        assert "NORM" in done.stdout
    print(f"cold starts in s: {', '.join(f'{each:.2f}' for each in took)}")
    assert min(took) < 1.0
