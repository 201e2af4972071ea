"""Wheel and sdist build, and install where nothing else is: the core alone predicts, an extra brings what it promises.

By default one extra is tried; ``EINTHOVEN_EXTRAS=all`` tries each alone, in an hour, or names some: ``wfdb,report``.
"""

import os
import tarfile
import zipfile

import pytest
from fresh_environment import PROMISES, build, copy_sources, install, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
_WANTED = os.environ.get("EINTHOVEN_EXTRAS", "formats")
EXTRAS = list(PROMISES) if _WANTED == "all" else _WANTED.split(",")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Sdist and wheel of this source tree."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("build")
    return build(copy_sources(folder / "source"), folder / "dist")


def test_the_wheel_has_types_tables_styles_and_the_shipped_model_and_no_tests(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = wheel.namelist()
    for wanted in ("py.typed", "downloads/sources.yaml", "evaluation/report.css", "evaluation/report.html.j2"):
        assert f"einthoven/{wanted}" in names
    assert any(name.startswith("einthoven/pretrained/ptbxl-superdiagnostic/") for name in names)
    assert any(name.startswith("einthoven/labels/data/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "tests" in name.split("/") or name.endswith(".pyc")]


def test_the_sdist_has_what_the_wheel_is_made_of(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/einthoven/py.typed"} <= names


def test_the_core_alone_helps_and_predicts(built, corpus_folder, tmp_path):
    programs = install(tmp_path / "core", built[1])
    assert "predict" in run([programs / "einthoven", "--help"], cwd=tmp_path)
    header = sorted(corpus_folder.glob("records100/*/*.hea"))[0]
    assert "NORM" in run([programs / "einthoven", "predict", "ptbxl-superdiagnostic", header], cwd=tmp_path)
    listed = run([programs / "python", "-m", "pip", "list", "--format", "freeze"], cwd=tmp_path).lower()
    assert not [name for name in ("torch==", "pandas==", "matplotlib==") if name in listed]


def test_the_sdist_installs_as_well(built, tmp_path):
    programs = install(tmp_path / "sdist", built[0])
    assert run([programs / "einthoven", "--version"], cwd=tmp_path).strip()


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone_brings_what_it_promises(extra, built, tmp_path):
    programs = install(tmp_path / "env", f"{built[1]}[{extra}]")
    for module in PROMISES[extra]:
        run([programs / "python", "-c", f"import {module}"], cwd=tmp_path)
    run([programs / "python", "-m", "pip", "check"], cwd=tmp_path)
