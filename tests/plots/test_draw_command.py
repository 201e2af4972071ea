"""``einthoven draw``: files become pictures or pages under the names that were asked for, or one sentence says why not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from einthoven.cli.main import app
from einthoven.corpora.synthetic import example_record
from einthoven.errors import EinthovenError
from einthoven.leads import TWELVE_LEADS


@pytest.fixture
def ecg(tmp_path: Path) -> Path:
    record = example_record("NORM", fs=500)
    path = tmp_path / "mine.csv"
    np.savetxt(path, record.signal.T, delimiter=",", header=",".join(record.leads), comments="", fmt="%.4f")
    return path


def draw(*arguments: object) -> object:
    return CliRunner().invoke(app, ["draw", *map(str, arguments)])


@pytest.mark.parametrize(
    ("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("html", b"<!DOCTYPE html>")]
)
def test_each_kind_is_written_into_the_folder(ecg: Path, tmp_path: Path, kind: str, magic: bytes) -> None:
    done = draw(ecg, "--out", tmp_path / "drawn", "--format", kind, "--fs", 500, "--unit", "mV")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "drawn" / f"mine.{kind}").read_bytes().startswith(magic)


def test_a_name_chooses_the_kind_and_options_reach_the_paper(ecg: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.svg"
    options = [
        "--layout",
        "12x1",
        "--speed",
        50,
        "--gain",
        5,
        "--start",
        2,
        "--seconds",
        3,
        "--fs",
        500,
        "--unit",
        "mV",
    ]
    assert draw(ecg, "--out", out, *options).exit_code == 0
    text = out.read_text()
    assert "170" in text.split("viewBox", 1)[0] or 'width="481' in text  # 50 mm/s for 3 s, and 20 mm beside
    assert text.count("calibration") == 12


def test_what_a_picture_leaves_out_is_said_and_a_pdf_has_pages_of_it(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    np.savetxt(path, np.sin(np.arange(1250) / 9), header="II", comments="", fmt="%.3f")
    told = ["--fs", 50, "--unit", "mV", "--leads", "II"]
    assert "long.csv: 0 s to 10 s of 25 s are shown; a PDF has a page" in draw(path, "--out", tmp_path, *told).output
    assert "20 s to 25 s are shown, where" in draw(path, "--out", tmp_path, *told, "--start", 20, "--seconds", 9).output
    assert "shown" not in draw(path, "--out", tmp_path / "long.pdf", *told).output
    assert (tmp_path / "long.pdf").read_bytes().count(b"/Type /Page ") == 3


def test_a_part_of_a_pdf_has_pages_of_ten_seconds(tmp_path: Path) -> None:
    record = example_record("NORM", fs=100)
    path = tmp_path / "long.csv"
    np.savetxt(path, np.tile(record.signal[:2], 6).T, delimiter=",", header="I,II", comments="", fmt="%.4f")
    stated = ("--fs", 100, "--unit", "mV", "--start", 20, "--seconds", 25)
    done = draw(path, "--out", tmp_path / "part.pdf", *stated)
    assert done.exit_code == 0, done.output
    assert "20 s to 45 s of 60 s are shown" in done.output
    assert (tmp_path / "part.pdf").read_bytes().count(b"/Type /Page ") == 3
    assert "a PDF has a page for every 10 s" in draw(path, "--out", tmp_path / "part.png", *stated).output


def test_what_cannot_be_read_is_named_and_the_rest_is_drawn(ecg: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("no numbers\n")
    done = draw(tmp_path / "bad.csv", ecg, "--out", tmp_path / "drawn", "--fs", 500, "--unit", "mV")
    assert done.exit_code == 2
    assert "error: " in done.output
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["mine.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "--format", "bmp"], "write one of png, svg, pdf, html"),
        (["a.csv", "b.csv", "--out", "x.png"], "is one name for 2 files"),
        (["a.csv", "--out", "x.png", "--format", "pdf"], "drop one of both"),
        (["one/a.csv", "two/a.csv"], "several files would be written as a.png"),
        (["a.png", "--format", "png"], "is read and would be overwritten"),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(arguments: list, message: str) -> None:
    done = draw(*arguments)
    assert isinstance(done.exception, EinthovenError)
    assert message in str(done.exception)


def test_the_example_has_twelve_leads() -> None:
    assert example_record("NORM", fs=500).leads == TWELVE_LEADS


def test_too_short_a_record_is_named_and_the_others_are_drawn(tmp_path):
    names = ",".join(TWELVE_LEADS)
    for name, n in (("a-tiny", 3), ("b-whole", 500)):
        np.savetxt(
            tmp_path / f"{name}.csv", np.full((n, 12), 0.1), delimiter=",", header=names, comments="", fmt="%.3f"
        )
    files = [str(tmp_path / f"{name}.csv") for name in ("a-tiny", "b-whole")]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "einthoven.cli",
            "draw",
            *files,
            "--fs",
            "100",
            "--layout",
            "3x4+1",
            "--out",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "3 samples are too few to draw in 4 columns" in done.stderr
    assert "Traceback" not in done.stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["b-whole.png"]
    assert "note:" in done.stderr  # a flat line is drawn, and said to be one
