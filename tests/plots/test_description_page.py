"""Does ``einthoven describe`` give a page that stands alone, is quick, and says what the numbers say?"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from open_pages import DESKTOP, PHONE, opened
from typer.testing import CliRunner

from browser import open_browser
from einthoven.cli.main import app

READY = "body[data-state=ready]"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with open_browser() as browser:
        yield browser


def describe(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["describe", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def page(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("described") / "page.html"
    assert "240 records" in describe(dataset_folder, "--out", out, "--duplicates")
    return out


@pytest.fixture(scope="module")
def figures(dataset_folder: Path) -> dict:
    return json.loads(describe(dataset_folder, "--json"))


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [(DESKTOP, "light"), (PHONE, "light"), pytest.param(DESKTOP, "dark", marks=pytest.mark.slow)],
    ids=["desktop", "phone", "dark"],
)
def test_the_page_stands_alone_and_is_for_everyone(browser: object, page: Path, viewport: dict, scheme: str) -> None:
    with opened(browser, page, viewport, READY, color_scheme=scheme) as seen:
        seen.page.wait_for_selector("ecg-viewer[data-state=ready]")
        assert (seen.faults, seen.requests, seen.overflow()) == ([], [], 0)
        assert seen.violations() == []


def test_the_page_is_ready_in_less_than_two_seconds(browser: object, page: Path) -> None:
    with opened(browser, page, DESKTOP, READY) as seen:
        seen.page.wait_for_selector("ecg-viewer[data-state=ready]")
        measured = seen.page.context.new_cdp_session(seen.page)
        measured.send("Performance.enable")
        values = {one["name"]: one["value"] for one in measured.send("Performance.getMetrics")["metrics"]}
        assert values["ScriptDuration"] < 2.0
    assert page.stat().st_size < 1_500_000


def test_the_page_says_what_the_numbers_say(browser: object, page: Path, figures: dict) -> None:
    classes = {one["name"]: one for one in figures["labels"]["classes"]}
    with opened(browser, page, DESKTOP, READY) as seen:
        rows = seen.page.locator(".sortable tbody tr")
        said = {}
        for row in rows.all():
            cells = row.locator("td.number").all_inner_texts()
            said[row.locator("th a").inner_text()] = int(cells[0].replace(",", ""))
        assert said == {name: one["records"] for name, one in classes.items()}
        assert list(said.values()) == sorted(said.values(), reverse=True)
        order = [name for name, _ in sorted(classes.items(), key=lambda item: -item[1]["records"])]
        cells = np.array([int(cell) for cell in seen.page.locator(".heat td[data-n]").all_inner_texts()])
        indices = [list(classes).index(name) for name in order]
        together = np.array(figures["labels"]["together"])
        np.testing.assert_array_equal(cells.reshape(len(order), -1), together[np.ix_(indices, indices)])
        first, second = order[:2]
        both = together[indices[0], indices[1]]
        seen.page.select_option("#measure", "chance")
        text = seen.page.locator(".heat td[data-n] >> nth=1").inner_text()
        expected = both * 240 / (classes[first]["records"] * classes[second]["records"])
        assert float(text.rstrip("×")) == pytest.approx(expected, abs=0.006)


def test_headings_sort_and_a_class_shows_its_ecgs(browser: object, page: Path, figures: dict) -> None:
    with opened(browser, page, DESKTOP, READY) as seen:
        heading = seen.page.locator(".sortable th", has_text="Class")
        heading.locator("button").press("Enter")
        names = seen.page.locator(".sortable tbody th a").all_inner_texts()
        assert names == sorted(names, reverse=True)
        assert heading.get_attribute("aria-sort") == "descending"
        heading.locator("button").press("Enter")
        assert seen.page.locator(".sortable tbody th a").all_inner_texts() == sorted(names)
        seen.page.select_option("#class", "MI")
        seen.page.wait_for_selector("article[data-class=MI] ecg-viewer[data-state=ready] >> nth=1")
        assert seen.page.locator("article:visible").count() == 1
        captions = seen.page.locator("article[data-class=MI] figcaption").all_inner_texts()
        assert len(captions) == 2
        assert all(re.match(r"Record \d+; .*MI", text) for text in captions)
        assert seen.faults == []


def test_a_folder_of_ones_own_says_unknown_where_nothing_is_known(browser: object, tmp_path: Path) -> None:
    from einthoven.corpora import open_corpus
    from einthoven.preparation import prepare
    from einthoven.spec import SignalSpec

    rng = np.random.default_rng(0)
    for k in range(6):
        signal = rng.normal(0, 0.3, (1200, 2))
        if k == 2:
            signal[100:220, 1] = np.nan
        np.savetxt(tmp_path / f"r{k}.csv", signal, delimiter=",", header="I,II", comments="", fmt="%.3f")
    cells = [f"r{k}.csv,{k % 2},{'' if k == 5 else 0 if k else 1}" for k in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,AF,pacemaker", *cells]))
    corpus = open_corpus("folder", tmp_path, fs="100", unit="mV")
    prepare(corpus, tmp_path / "ds", SignalSpec(leads=("I", "II"), fs=100.0), workers=1)
    out = tmp_path / "own.html"
    describe(tmp_path / "ds", "--out", out)
    with opened(browser, out, PHONE, READY) as seen:
        tiles = dict(
            zip(seen.page.locator(".tiles dt").all_inner_texts(), seen.page.locator(".tiles .value").all_inner_texts(), strict=True)
        )  # fmt: skip
        assert (tiles["Records"], tiles["Patients"], tiles["Median age"], tiles["Women"]) == ("6", *["unknown"] * 3)
        text = seen.page.inner_text("main")
        assert "Folds are not known." in text
        assert "Ages are not known." in text
        assert "Samples are missing in 1 of 6 records." in text
        missing = seen.page.get_by_role("region", name="Missing leads").locator("tbody tr").all_inner_texts()
        assert [row.split() for row in missing] == [["II", "1.7", "%", "0", "(0", "%)"]]  # 120 of 7,200
        assert "nan" not in text.lower().replace("(nan)", "")
        assert (seen.faults, seen.overflow()) == ([], 0)
