"""The Explorer in a real browser: what people do there, what strangers upload, and that nothing leaves the machine."""

import io
import zipfile

import numpy as np
import pytest
from explorer_site import explorer, visit, write_judged_run

from browser import open_browser
from einthoven.corpora.synthetic import example_record

pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with explorer(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with open_browser() as running:
        yield running


@pytest.fixture(scope="module")
def opened(site, browser):
    """One visit that the fast tests share; each leaves it as it found it."""
    with visit(browser, site.url) as seen:
        yield seen


def csv(record, leads=12, *, scale=1.0, time=True, header=True):
    columns = [np.arange(record.n_samples) / record.fs] if time else []
    names = ["time"] if time else []
    out = io.BytesIO()
    text = ",".join([*names, *(f"{lead} [mV]" for lead in record.leads[:leads])]) if header else ""
    np.savetxt(out, np.c_[*columns, record.signal[:leads].T * scale], "%.4f", ",", header=text, comments="")
    return out.getvalue()


def zip_bomb():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecg.npy", b"0" * (80 << 20))
    return out.getvalue()


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c SYSTEM "file:///etc/passwd">]><AnnotatedECG xmlns="urn:hl7-org:v3">&b;&c;</AnnotatedECG>"""


def test_the_first_page_has_findings_a_tracing_and_the_notice_and_asks_nobody_else(opened):
    text = opened.text()
    assert "Reported: conduction disturbance." in text
    assert "Not a medical device." in text
    frame = opened.page.frame_locator("iframe").first
    assert frame.locator("canvas, svg").first.is_visible()
    assert opened.hosts <= {"localhost", ""}, "no request leaves the machine"
    assert opened.errors == []


def test_the_notice_stays_in_sight_while_the_page_scrolls(opened):
    opened.page.mouse.move(640, 600)
    opened.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 2000)")
    opened.page.wait_for_timeout(200)
    box = opened.page.locator(".ein-notice").bounding_box()
    opened.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    assert 0 <= box["y"] < 140


def test_another_sample_is_judged_anew(opened):
    opened.page.get_by_role("combobox", name="Synthetic ECG").click()
    opened.page.get_by_role("option", name="Normal ECG").click()
    opened.page.get_by_text("Reported: normal ECG.").wait_for(timeout=60_000)
    assert opened.errors == []


@pytest.fixture(scope="module")
def bad_files():
    record = example_record("CLBBB", seed=1)
    return {
        "picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(200), "is a picture (PNG), not a recording"),
        "empty.csv": (b"", "the file is empty"),
        "bomb.npz": (zip_bomb(), "bomb.npz"),
        "entities.xml": (ENTITIES, "entities.xml"),
        "three.csv": (csv(record, 3), "missing leads V1, V2, V3, V4, V5, V6"),
        "microvolts.csv": (csv(record, scale=1000.0), "microvolts read as millivolts?"),
    }


def test_every_bad_file_gets_a_sentence_and_the_server_lives_on(opened, site, bad_files):
    opened.upload(*[(name, content) for name, (content, _) in bad_files.items()])
    opened.page.get_by_text("Recording (2 of 6 could be read)").wait_for(timeout=60_000)
    for name, (_, said) in bad_files.items():
        opened.page.get_by_role("combobox", name="Recording").click()
        opened.page.get_by_role("option", name=name).click()
        opened.settled()
        opened.page.get_by_text(said).first.wait_for(timeout=60_000)
        assert "Traceback" not in opened.text()
    assert site.alive
    assert opened.errors == []


def test_an_upload_is_judged_and_nothing_of_it_reaches_the_disk(opened, site):
    opened.upload(("mine.csv", csv(example_record("CLBBB", seed=1))))
    opened.page.get_by_text("Reported: conduction disturbance.").wait_for(timeout=60_000)
    assert "12: I, II, III" in opened.text()
    assert [path for path in site.temporary.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_a_name_that_is_code_is_shown_and_not_run(opened):
    opened.upload(("<img src=x onerror=alert(1)>.csv", csv(example_record("CLBBB", seed=1))))
    opened.page.get_by_text("Reported: conduction disturbance.").wait_for(timeout=60_000)
    assert not opened.page.locator("img[src=x]").count()
    assert not any(frame.locator("img[src=x]").count() for frame in opened.page.frames)
    assert opened.errors == []


@pytest.mark.slow
def test_a_file_of_two_gigabytes_is_refused_before_it_is_sent(site, browser, tmp_path):
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(2 << 30)  # sparse: it takes no space
    with visit(browser, site.url) as seen:
        seen.page.get_by_text("Your own files").click()
        seen.page.wait_for_selector("input[type=file]", state="attached", timeout=60_000)
        seen.page.set_input_files("input[type=file]", str(large))
        seen.page.get_by_text("File must be 64.0MB or smaller").wait_for(timeout=60_000)
    assert site.alive


@pytest.mark.slow
def test_signals_without_names_are_named_by_hand_with_a_preview(site, browser):
    with visit(browser, site.url) as seen:
        seen.upload(("bare.csv", csv(example_record("CLBBB", seed=1), time=False, header=False)))
        seen.page.get_by_text("The 12 signals of the file, in its order").wait_for(timeout=60_000)
        assert "--fs" not in seen.text(), "a page names no command"
        seen.page.get_by_label("Rate in Hz").fill("500")
        seen.page.get_by_role("button", name="Read it so").click()
        seen.page.get_by_text("Reported: conduction disturbance.").wait_for(timeout=60_000)
        assert seen.errors == []


@pytest.mark.slow
def test_an_explanation_is_drawn_over_the_tracing(site, browser):
    with visit(browser, site.url) as seen:
        seen.page.get_by_role("button", name="Explain").click()
        seen.page.get_by_text("Checks and limits").wait_for(timeout=180_000)
        frame = seen.page.frame_locator("iframe").nth(1)
        frame.get_by_text("Explanation", exact=True).first.wait_for(timeout=60_000)
        assert seen.page.get_by_text("Taking away first what it marks").count() == 1
        assert seen.errors == []


@pytest.mark.slow
def test_another_backend_judges_and_the_report_is_taken_away(site, browser):
    with visit(browser, site.url, accept_downloads=True) as seen:
        seen.page.get_by_role("combobox", name="Computed by").click()
        seen.page.get_by_role("option", name="PyTorch").click()
        seen.settled()
        assert "Reported: conduction disturbance." in seen.text()
        with seen.page.expect_download(timeout=60_000) as taken:
            seen.page.get_by_role("button", name="Report (PDF)").click()
        assert taken.value.suggested_filename == "synthetic-CLBBB-1-report.pdf"
        assert taken.value.path().read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_on_a_phone_nothing_is_cut_off_and_the_pages_are_reached(site, browser):
    with visit(browser, site.url, viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 375
        wide = seen.page.evaluate(
            "[...document.querySelectorAll('[data-testid=stMain] *')].filter(e => e.getBoundingClientRect().right > 376"
            " && !e.closest('.ein-scroll')).map(e => e.className || e.tagName)"
        )
        assert wide == []
        assert "Reported: conduction disturbance." in seen.text()
        seen.page.get_by_test_id("stExpandSidebarButton").click()
        seen.page.get_by_role("link", name="Runs").click()
        seen.page.get_by_role("heading", name="Runs", exact=True).wait_for(timeout=60_000)


@pytest.mark.slow
def test_everything_is_reached_by_keyboard(site, browser):
    with visit(browser, site.url) as seen:
        seen.page.evaluate("document.activeElement.blur()")
        reached = set()
        for _ in range(80):
            seen.page.keyboard.press("Tab")
            reached.add(
                seen.page.evaluate(
                    "(e => (e.getAttribute('aria-label') || e.innerText || e.closest('label')?.innerText || e.tagName)"
                    ".trim())(document.activeElement)"
                )
            )
        for wanted in ("What is an ECG?", "Explain", "Report (PDF)", "IFRAME", "Your own files", "Runs"):
            assert any(wanted in each for each in reached), (wanted, reached)


@pytest.fixture(scope="module")
def full_site(tmp_path_factory, dataset_folder):
    """An Explorer with a judged run and a dataset."""
    folder = tmp_path_factory.mktemp("full")
    write_judged_run(folder / "runs")
    with explorer(folder, "--datasets", str(dataset_folder)) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "runs", "datasets"])
def test_axe_finds_nothing_serious(full_site, browser, name):
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, full_site.url) as seen:
        if name:
            seen.page.get_by_role("link", name=name.capitalize()).click()
            seen.page.get_by_role("heading", name=name.capitalize(), exact=True).wait_for(timeout=60_000)
            seen.settled()
        found = Axe().run(seen.page).response["violations"]
        serious = {
            each["id"]: [node["html"][:150] for node in each["nodes"]][:4]
            for each in found
            if each["impact"] in ("serious", "critical")
        }
        assert serious == {}


@pytest.mark.slow
def test_what_was_uploaded_is_forgotten_when_the_page_is_closed(site, browser):
    with visit(browser, site.url) as seen:
        seen.upload(("private.csv", csv(example_record("CLBBB", seed=1))))
        seen.page.get_by_text("Reported: conduction disturbance.").wait_for(timeout=60_000)
    with visit(browser, site.url) as later:
        assert "private" not in later.text()
    assert [path for path in site.temporary.rglob("*") if path.is_file()] == []
    assert "private" not in site.log.read_text()
