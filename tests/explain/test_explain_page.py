"""Is the page whole by itself, true to its numbers, and readable on a telephone?"""

import re

import pytest

from browser import open_browser
from einthoven.bundle import load_bundle
from einthoven.corpora.synthetic import example_record
from einthoven.explain import Settings, open_subject
from einthoven.explain.checks import faithfulness
from einthoven.explain.explaining import explain_subject
from einthoven.explain.page_files import write_files_page


@pytest.fixture(scope="module")
def page(bundle, model, subject, tmp_path_factory):
    """A finding, a normal ECG, and a file that was not explained."""
    normal = open_subject(bundle, example_record("NORM", seed=1), model)
    explained, gains = {}, {}
    for name, one in (("block <1>", subject), ("normal", normal)):
        found = explain_subject(one, method="deeplift", settings=Settings(n_background=2))
        explained[name] = found
        gains[name] = {each: faithfulness(one, found.of(each), each).gains for each in found.classes}
    path = tmp_path_factory.mktemp("page") / "explain.html"
    write_files_page(path, explained, gains, {"bad.csv": "bad.csv: this is no ECG"})
    return path, explained


def test_the_page_is_whole_by_itself(page):
    text = page[0].read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text)
    assert "<script src" not in text
    assert '<link rel="stylesheet"' not in text
    assert "block &lt;1&gt;" in text
    assert "<1>" not in text


def test_the_page_says_findings_sums_waves_checks_and_failures(page):
    path, explained = page
    text = path.read_text(encoding="utf-8")
    found = explained["block <1>"]
    assert "Reported: conduction disturbance." in text
    assert f"All values sum to {found.attribution[0].sum(dtype='float64'):+.2f} log-odds" in text.replace("&#43;", "+")
    assert "Waves were delineated in" in text
    assert "lies in the QRS complex" in text
    assert "Does what it marks matter?" in text
    assert "2 synthetic ECGs of seed 0" in text
    assert "This is no ECG" in text or "this is no ECG" in text
    assert text.count("Not a medical device") >= 2
    assert text.count("<ecg-viewer") - text.count("<ecg-viewer>") <= text.count("natural")


def test_a_normal_ecg_is_no_abnormality_on_the_page(page):
    text = page[0].read_text(encoding="utf-8")
    normal = text.split('<section id="file-2">')[1]
    assert "Reported: normal ECG. This does not exclude disease" in normal
    assert "NORM, normal ECG: present" in normal


def test_of_71_classes_what_is_found_is_in_sight_and_the_rest_folds_away(block, tmp_path):
    subject = open_subject(load_bundle("ptbxl-all", threads=1), block)
    found = explain_subject(subject, method="gradcam")
    gains = {each: faithfulness(subject, found.of(each), each).gains for each in found.classes}
    path = tmp_path / "explain.html"
    write_files_page(path, {"block": found}, {"block": gains}, {})
    table, rest = (
        path.read_text(encoding="utf-8").split('<section id="file-1">')[1].split("</details>")[0].split("<details>")
    )
    in_sight, hidden = (re.findall(r'<th scope="row">([^<]+)<small>', part) for part in (table, rest))
    assert "CLBBB" in in_sight
    assert set(in_sight) == {each.name for each in found.prediction.findings if each.present}
    assert len(in_sight) + len(hidden) == 71
    likely = {each.name: each.probability for each in found.prediction.findings}
    assert [likely[name] for name in hidden] == sorted((likely[name] for name in hidden), reverse=True)
    n_open = rest.count("<td>Undecided</td>")
    assert n_open
    assert f"<summary>{len(hidden)} more classes, {n_open} of them undecided</summary>" in rest


def test_in_a_browser_nothing_fails_and_a_telephone_needs_no_sideways_scrolling(page):
    with open_browser() as browser:
        for width in (1280, 390):
            tab, errors = browser.new_page(viewport={"width": width, "height": 844}), []
            tab.on(
                "console", lambda message, seen=errors: seen.append(message.text) if message.type == "error" else None
            )
            tab.on("pageerror", lambda error, seen=errors: seen.append(str(error)))
            tab.on(
                "request", lambda request, seen=errors: seen.append(request.url) if request.url[:4] == "http" else None
            )
            tab.goto(page[0].as_uri())
            tab.wait_for_selector("ecg-viewer canvas, ecg-viewer svg", timeout=30_000)
            assert errors == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.locator("ecg-viewer").count() == 2
