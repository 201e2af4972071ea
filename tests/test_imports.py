import subprocess
import sys
import time

import pytest


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_the_package_takes_under_300_ms_and_loads_neither_torch_nor_pandas():
    code = (
        "import time, sys; t = time.perf_counter(); import einthoven; t = time.perf_counter() - t;"
        "einthoven.Record, einthoven.read_record, einthoven.load_bundle;"
        "print(t, [m for m in ('torch', 'pandas', 'scipy.signal', 'matplotlib') if m in sys.modules])"
    )
    seconds, loaded = _run(code).split(" ", 1)
    assert float(seconds) < 0.3
    assert loaded.strip() == "[]"


def test_the_help_of_the_command_line_takes_under_600_ms():
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "einthoven.cli", "--help"], capture_output=True, text=True, check=True
        )
        times.append(time.perf_counter() - began)
    assert "prepare" in done.stdout
    assert min(times) < 0.6


@pytest.mark.parametrize(
    "module", ["formats", "signals", "corpora", "dataset", "metrics", "bundle", "preparation", "labels"]
)
def test_light_rooms_load_no_heavy_package(module):
    loaded = _run(
        f"import sys, einthoven.{module}; print([m for m in ('torch', 'pandas', 'scipy.signal', 'wfdb') if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_an_unknown_attribute_of_the_package_is_an_attribute_error():
    import einthoven

    with pytest.raises(AttributeError, match="nonsense"):
        _ = einthoven.nonsense
