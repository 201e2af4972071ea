"""Does the interactive figure hold the record, measure it rightly, and serve every hand?"""

import base64
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from open_pages import DESKTOP, PHONE, Opened, opened, settle

from browser import open_browser
from einthoven.errors import RecordError
from einthoven.leads import TWELVE_LEADS
from einthoven.plots.interactive import interactive_ecg, save_interactive, viewer_assets, viewer_fragment
from einthoven.record import Record

READY = "ecg-viewer[data-state=ready]"
RR_S, R_MV, FS = 0.8, 1.0, 500.0


def beats(leads: tuple[str, ...], seconds: float, **known: object) -> Record:
    """Spikes of 1 mV every 800 ms, 75 a minute, the first at 400 ms; baseline 0."""
    t = np.arange(round(seconds * FS)) / FS
    off = (t - 0.4 + RR_S / 2) % RR_S - RR_S / 2
    wave = R_MV * np.clip(1 - np.abs(off) / 0.02, 0, None)
    return Record(np.tile(wave, (len(leads), 1)).astype(np.float32), FS, leads, record_id="known", **known)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    record = beats(TWELVE_LEADS, 10.0, age=61.0, sex="female", statements={"MI": 80.0})
    towards = np.zeros_like(record.signal)
    towards[6, 100:300], towards[6, 300:500] = 0.02, -0.01
    path = tmp_path_factory.mktemp("viewer") / "twelve.html"
    save_interactive(record, path, overlays={"MI": towards, "NORM": -towards})
    return path


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "one.html"
    save_interactive(beats(("II",), 10.0), path)
    return path


def carried(text: str) -> dict:
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', text)
    return json.loads(found)


def unpacked(text: str, n_leads: int) -> np.ndarray:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i2").reshape(n_leads, -1)
    return np.cumsum(steps, axis=1, dtype=np.int16)


def test_the_page_carries_every_sample_to_the_microvolt_and_gaps_as_gaps() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 2, (3, 700)).astype(np.float32)
    signal[1, 50:60] = np.nan
    held = carried(interactive_ecg(Record(signal, 250.0, ("I", "II", "V1"))))
    steps = unpacked(held["signal"], 3)
    assert (steps[1, 50:60] == -32768).all()
    known = np.isfinite(signal)
    np.testing.assert_allclose(steps[known] * held["step"], signal[known], atol=0.0005001)
    assert held["step"] == 0.001
    assert (steps[known] != -32768).all()


def test_signals_too_large_for_microvolts_have_larger_steps() -> None:
    signal = np.array([[-500.0, 0.0, 480.0]], np.float32)
    held = carried(interactive_ecg(Record(signal, 250.0, ("I",))))
    np.testing.assert_allclose(unpacked(held["signal"], 1) * held["step"], signal, atol=held["step"])


def test_ten_seconds_are_never_megabytes_and_nothing_is_asked_from_elsewhere() -> None:
    rng = np.random.default_rng(0)
    record = beats(TWELVE_LEADS, 10.0)
    noisy = record.with_(signal=record.signal + rng.normal(0, 0.02, record.signal.shape).astype(np.float32))
    text = interactive_ecg(noisy, overlays={name: noisy.signal for name in "ABCDE"})
    assert len(text) < 1_000_000
    assert len(interactive_ecg(record)) < 100_000
    assert not re.search(r"https?://|//cdn|@import|src=", text)


def test_a_name_cannot_become_markup() -> None:
    text = interactive_ecg(beats(("I",), 2.0).with_(record_id="</script><b>x"), title=None)
    assert "<b>x" not in text
    assert carried(text)["title"].startswith("</script><b>x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlays": {"MI": np.zeros((12, 9))}}, "overlay 'MI' has shape"),
        ({"overlays": {"MI": np.full((12, 1000), np.nan)}}, "no numbers"),
        ({"shown": "MI"}, "no overlay 'MI' to show; there are none"),
        ({"layout": "4x3"}, "unknown layout"),
    ],
)
def test_what_cannot_be_shown_is_refused(options: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        interactive_ecg(beats(TWELVE_LEADS, 2.0), **options)


def test_an_empty_record_and_another_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no samples"):
        interactive_ecg(Record(np.zeros((1, 0), np.float32), 100.0, ("I",)))
    with pytest.raises(RecordError, match=r"must end in \.html"):
        save_interactive(beats(("I",), 2.0), tmp_path / "a.png")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_opens_alone_without_faults_and_fits_its_window(browser: object, twelve: Path, viewport: dict) -> None:
    with opened(browser, twelve, viewport, READY) as seen:
        assert seen.violations() == []
        seen.page.locator("summary").nth(0).click()
        seen.page.locator("summary").nth(1).click()
        seen.page.select_option("select >> nth=3", "0")
        seen.page.wait_for_selector(".ecg-colours:visible")
        seen.page.keyboard.press("Tab")
        assert seen.violations() == []
        assert seen.overflow() == 0
        assert (seen.faults, seen.requests) == ([], [])


def tops(page: object) -> np.ndarray:
    """Highest dark pixel of each column of the drawing, as CSS pixels; the height where there is none."""
    script = """() => { const c = document.querySelector("canvas"); const h = c.height - 24;
        const copy = new OffscreenCanvas(c.width, h).getContext("2d", {willReadFrequently: true});
        copy.drawImage(c, 0, 0);
        const d = copy.getImageData(0, 0, c.width, h).data;
        return Array.from({length: c.width}, (_, x) => {
          for (let y = 0; y < h; y++) { const i = 4 * (y * c.width + x); if (d[i] < 90 && d[i + 1] < 90) return y; }
          return h; }); }"""
    return np.array(page.evaluate(script), float)


def peaks_and_baseline(page: object) -> tuple[np.ndarray, float, float]:
    """Columns of the R peaks that are seen, height of their tips, and height of the baseline."""
    high = tops(page)
    trace = high[120:]  # right of the calibration pulse
    tip = trace.min()
    columns = np.flatnonzero(trace <= tip + 3) + 120
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 5) + 1)
    return np.array([group.mean() for group in groups]), tip, float(np.median(trace))


def reading(seen: Opened) -> tuple[int, int, float]:
    text = seen.page.inner_text(".ecg-readout")
    ms, bpm, volts = re.search(r"(\d+) ms\W+(\d+) bpm\W+([\d.]+) mV", text).groups()
    return int(ms), int(bpm), float(volts)


def test_calipers_drawn_from_peak_to_peak_read_the_known_rate_and_amplitude(browser: object, one: Path) -> None:
    with opened(browser, one, DESKTOP, READY) as seen:
        page = seen.page
        page.get_by_role("button", name="true size").click()
        page.get_by_role("button", name="Zoom in").click()
        settle(page)
        peaks, tip, baseline = peaks_and_baseline(page)
        pixel_ms, pixel_mv = 1000 * RR_S / (peaks[2] - peaks[1]), R_MV / (baseline - tip)
        page.locator(".ecg-stage").focus()
        page.keyboard.press("c")
        box = page.locator("canvas").bounding_box()
        page.mouse.move(box["x"] + peaks[1], box["y"] + baseline)
        page.mouse.down()
        page.mouse.move(box["x"] + peaks[1] + 30, box["y"] + tip, steps=3)
        page.mouse.move(box["x"] + peaks[2], box["y"] + tip, steps=3)
        page.mouse.up()
        settle(page)
        ms, bpm, volts = reading(seen)
        assert ms == pytest.approx(800, abs=1.5 * pixel_ms)
        assert volts == pytest.approx(R_MV, abs=1.5 * pixel_mv)
        assert bpm == round(60_000 / ms) or abs(bpm - 60_000 / ms) < 0.6
        assert seen.faults == []


def test_the_marks_move_by_keys_a_sample_and_a_hundredth_at_a_time(browser: object, one: Path) -> None:
    with opened(browser, one, DESKTOP, READY) as seen:
        page = seen.page
        page.locator(".ecg-stage").focus()
        page.keyboard.press("c")
        page.wait_for_selector("[role=slider] >> nth=1")
        assert reading(seen) == (800, 75, 0.0)
        second = page.get_by_role("slider", name="Second mark of the calipers")
        second.focus()
        for key in [*["ArrowRight"] * 100, *["Shift+ArrowUp"] * 5, "ArrowUp"]:
            page.keyboard.press(key)
        settle(page)
        assert reading(seen) == (1000, 60, 0.51)
        assert "0.51 mV" in second.get_attribute("aria-valuetext")
        assert second.get_attribute("aria-valuetext").startswith("II, ")
        page.keyboard.press("Escape")
        page.wait_for_selector("[role=slider] >> nth=1", state="hidden")


def test_the_cursor_reads_samples_and_what_speaks_for_the_class(browser: object, twelve: Path) -> None:
    with opened(browser, twelve, DESKTOP, READY) as seen:
        page = seen.page
        page.select_option("select >> nth=3", "0")
        page.locator(".ecg-stage").focus()
        page.keyboard.press("v")
        for key in ["ArrowLeft", *["Shift+ArrowLeft"] * 40]:
            page.keyboard.press(key)
        settle(page)
        # From the last sample of the first column 1 and then 40 times 10 samples of 2 ms back.
        assert page.inner_text(".ecg-readout") == "I at 1.696 s: 0.000 mV, MI +0 log-odds per sample"
        page.select_option("select >> nth=0", "12x1")
        page.get_by_role("button", name="V1: enlarge").click()
        page.locator(".ecg-stage").focus()
        page.keyboard.press("Home")
        page.evaluate(
            """() => { for (let k = 0; k < 400; k++) document.querySelector(".ecg-stage").dispatchEvent(
                new KeyboardEvent("keydown", { key: "ArrowLeft", shiftKey: true, bubbles: true })); }"""
        )  # to the first sample
        for _ in range(20):
            page.keyboard.press("Shift+ArrowRight")
        settle(page)
        text = page.inner_text(".ecg-readout")
        assert text.startswith("V1 at 0.400 s: 1.000 mV, MI +0.02 log-odds per sample")


def shown_seconds(page: object) -> float:
    settle(page)
    first, last = re.match(r"([\d.]+) to ([\d.]+) s", page.inner_text(".ecg-time")).groups()
    return float(last) - float(first)


def test_wheel_fingers_and_keys_zoom_and_a_wheel_without_them_scrolls_the_page(browser: object, one: Path) -> None:
    with opened(browser, one, PHONE, READY, has_touch=True) as seen:
        page = seen.page
        before = shown_seconds(page)
        box = page.locator("canvas").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + 60
        page.mouse.move(x, y)
        page.mouse.wheel(0, -200)
        assert shown_seconds(page) == before
        page.keyboard.down("Control")
        page.mouse.wheel(0, -200)
        page.keyboard.up("Control")
        wheeled = shown_seconds(page)
        assert wheeled < 0.8 * before
        touch = page.context.new_cdp_session(page)
        for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
            points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        pinched = shown_seconds(page)
        assert pinched == pytest.approx(wheeled / 2, rel=0.1)
        page.locator(".ecg-stage").focus()
        page.keyboard.press("0")
        page.keyboard.press("Home")
        assert shown_seconds(page) == before
        assert seen.faults == []


def test_leads_are_hidden_enlarged_and_laid_out_anew(browser: object, twelve: Path) -> None:
    with opened(browser, twelve, DESKTOP, READY) as seen:
        page = seen.page
        names = page.locator(".ecg-name")
        assert names.count() == 13
        page.select_option("select >> nth=0", "6x2")
        settle(page)
        assert sorted(names.all_inner_texts()) == sorted(TWELVE_LEADS)
        page.locator("summary", has_text="Leads").click()
        switch = page.get_by_role("button", name="aVR", exact=True)
        switch.focus()
        page.keyboard.press("Space")
        settle(page)
        assert switch.get_attribute("aria-pressed") == "false"
        assert names.count() == 11
        page.get_by_role("button", name="V2: enlarge").focus()
        page.keyboard.press("Enter")
        settle(page)
        assert names.all_inner_texts() == ["V2"]
        page.locator(".ecg-stage").focus()
        page.keyboard.press("Escape")
        settle(page)
        assert names.count() == 11


def test_every_control_is_reached_by_tab_with_a_visible_focus(browser: object, twelve: Path) -> None:
    with opened(browser, twelve, DESKTOP, READY) as seen:
        reached = []
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            at, outline = seen.page.evaluate(
                "() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return [e.getAttribute('aria-label') || e.innerText || e.tagName, s.outlineStyle + s.outlineWidth]; }"
            )
            if at in reached and at != "BODY":
                break
            if at != "SELECT" and seen.page.evaluate("document.activeElement !== document.body"):
                assert outline == "solid3px", at
            reached.append(at)
        for name in ("Zoom in", "Calipers", "Values at the cursor", "Leads", "Keys", "V6: enlarge"):
            assert name in reached
        assert any(name.startswith("Drawing of known") for name in reached)


def test_of_half_an_hour_only_what_one_looks_at_is_drawn(browser: object, tmp_path: Path) -> None:
    signal = np.zeros((2, 1800 * 250), np.float32)
    signal[:, 250 * 1500 : 250 * 1500 + 25] = 1.5
    path = tmp_path / "long.html"
    save_interactive(Record(signal, 250.0, ("MLII", "V1"), record_id="long"), path)
    with opened(browser, path, DESKTOP, READY) as seen:
        page = seen.page
        flat = tops(page)[120:]
        page.locator(".ecg-scrub input").fill("1496")
        settle(page)
        assert page.inner_text(".ecg-time").startswith("1496.0 to 15")
        assert tops(page).min() < flat.min() - 20
        points = page.evaluate(
            """async () => { let n = 0; const own = CanvasRenderingContext2D.prototype.lineTo;
              CanvasRenderingContext2D.prototype.lineTo = function (x, y) { n++; own.call(this, x, y); };
              document.querySelector(".ecg-stage").dispatchEvent(
                new KeyboardEvent("keydown", { key: "PageDown", bubbles: true }));
              await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
              return n; }"""
        )
        assert 1000 < points < 10_000  # of 900,000 samples
        assert seen.faults == []


def test_several_figures_share_a_page_and_a_frame_holds_one(browser: object, twelve: Path, tmp_path: Path) -> None:
    record = beats(TWELVE_LEADS, 10.0)
    frame = interactive_ecg(record, height=400).replace("&", "&amp;").replace('"', "&quot;")
    path = tmp_path / "several.html"
    path.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>x</title>{viewer_assets()}</head><body>'
        f"<main><h1>x</h1>{viewer_fragment(record)}{viewer_fragment(beats(('I',), 30.0))}"
        f'<iframe title="ECG" srcdoc="{frame}" width="1000" height="560"></iframe></main></body></html>'
    )
    with opened(browser, path, DESKTOP, "ecg-viewer[data-state=ready] >> nth=1") as seen:
        inner = seen.page.frame_locator("iframe")
        inner.locator(READY).wait_for()
        assert inner.locator(".ecg-stage").bounding_box()["height"] == pytest.approx(400, abs=3)
        assert seen.page.locator(".ecg-name").count() == 14
        assert (seen.faults, seen.requests) == ([], [])  # axe's own frames may complain later
        assert seen.violations() == []
