"""The exported page in Chromium: the same answers as Python, said rightly, and nothing sent anywhere."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from web_site import Visit, runtime_or_skip, serve, visit

from browser import open_browser
from einthoven.bundle import Bundle, load_bundle
from einthoven.corpora.synthetic import example_record, write_synthetic_corpus
from einthoven.edge.web import write_web
from einthoven.formats import read_record
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record
from einthoven.runtimes import open_network

pytest.importorskip("playwright")

TOLERANCE = 1e-6  # of a probability with the float graph; 7e-8 was seen
INT8_TOLERANCE = 1e-3  # a rounding that falls the other way; 4e-5 was seen
MIDDLE = "below/a path"  # the page must work below any path


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("ptbxl-superdiagnostic")


@pytest.fixture(scope="module")
def root(bundle, tmp_path_factory):
    runtime_or_skip()
    root = tmp_path_factory.mktemp("web")
    write_web(bundle, bundle.path / "model.onnx", root / MIDDLE / "float")
    return root


@pytest.fixture(scope="module")
def server(root):
    with serve(root) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(browser, server):
    """One page for all tests that only show files."""
    return visit(browser, server.url(f"{MIDDLE}/float/"))


@pytest.fixture
def page(opened):
    opened.page.evaluate("document.getElementById('stated').reset()")
    opened.errors.clear()
    yield opened
    assert opened.errors == []


def write_csv(path: Path, record: Record, unit: str = "mV", time: bool = True) -> Path:
    scale, decimals = {"mV": (1, 6), "uV": (1000, 3)}[unit]
    columns = [np.arange(record.n_samples)[:, None] / record.fs] if time else []
    table = np.hstack([*columns, record.signal.T * scale])
    header = [*(["time"] if time else []), *record.leads]
    np.savetxt(path, table, f"%.{decimals}f", ",", header=",".join(header), comments="")
    return path


def assert_same_answer(page: Visit, bundle: Bundle, record: Record, tolerance: float = TOLERANCE) -> None:
    expected = bundle.predict(record)
    found = page.findings()
    assert set(found) == {finding.name for finding in expected.findings}
    assert set(found) == set(bundle.classes)
    for finding in expected.findings:
        probability, verdict = found[finding.name]
        assert abs(probability - finding.probability) <= tolerance
        assert (verdict == "Present") == bool(finding.present)
        assert (verdict == "Overruled") == finding.overruled
        if not finding.present and not finding.overruled:
            assert (verdict == "Absent") == (finding.sure == "absent")


def test_a_model_that_knows_no_facts_asks_for_none(page):
    for field in ("age", "sex"):
        assert page.page.evaluate(f"document.getElementById('{field}-field').hidden")


def test_the_synthetic_ecg_works_at_once_and_is_judged_as_in_python(page, bundle, root):
    page.page.click("#sample")
    page.answered()
    assert_same_answer(page, bundle, read_record(root / MIDDLE / "float" / "synthetic-ecg.csv"))
    assert page.text(".headline") == "Reported: myocardial infarction."
    for words in ("500 Hz", "10.0 s", "uV, from the header"):
        assert words in page.text("#read")
    assert page.page.locator("#tracing svg path[data-lead]").count() == 13  # twelve and the rhythm strip


def test_a_wfdb_record_is_judged_as_in_python(page, bundle, tmp_path):
    write_synthetic_corpus(tmp_path / "corpus", 3, seed=4, fs=(100, 500))
    for stem in ("records100/00000/00002_lr", "records500/00000/00003_hr"):
        path = tmp_path / "corpus" / stem
        page.show(path.with_suffix(".hea"), path.with_suffix(".dat"))
        assert_same_answer(page, bundle, read_record(path))


@pytest.mark.parametrize(
    "corpus",
    [
        "ludb/data",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ("ptb-xl/records100", "cinc2021/CPSC_CPSC-Extra", "cinc2021/PTB_PTBXL")
        ),
    ],
)
def test_real_records_are_judged_as_in_python(page, bundle, real_data, corpus):
    headers = sorted((real_data / corpus).rglob("*.hea"))
    for header in headers[:: max(1, len(headers) // 3)][:3]:
        files = [file for file in header.parent.glob(f"{header.stem}.*") if file.suffix in (".hea", ".dat", ".mat")]
        record = read_record(header)
        page.show(*files)
        assert_same_answer(page, bundle, record)
        assert f"{record.fs:g} Hz" in page.text("#read")


def test_a_real_record_in_microvolts_with_a_time_column_is_judged_as_in_python(page, bundle, real_data, tmp_path):
    path = write_csv(tmp_path / "ludb.csv", read_record(real_data / "ludb/data/7"), unit="uV")
    page.show(path)
    assert_same_answer(page, bundle, read_record(path))
    assert "microvolts" in page.text("#read .notes")


def test_the_quantised_graph_gives_the_same_answer_in_the_browser_as_in_python(browser, server, root, bundle, tmp_path):
    quantise = pytest.importorskip("onnxruntime.quantization")
    x = np.stack([example_record("NORM", seed=k, fs=100).signal[:, 300:550] for k in range(8)])
    batches = iter([{"signals_mv": x}])
    reader = type("Reader", (quantise.CalibrationDataReader,), {"get_next": lambda self: next(batches, None)})()
    graph = tmp_path / "int8.onnx"
    quantise.quantize_static(str(bundle.path / "model.onnx"), str(graph), reader, per_channel=True, reduce_range=True)
    write_web(bundle, graph, root / MIDDLE / "int8")
    small = visit(browser, server.url(f"{MIDDLE}/int8/"))
    assert small.text("#model").endswith("int8")
    judge = replace(bundle, network=open_network("onnx", graph, bundle.about))
    for code in ("NORM", "CLBBB", "LVH"):
        record = example_record(code, seed=2)
        small.show(write_csv(tmp_path / f"{code}.csv", record))
        assert_same_answer(small, judge, read_record(tmp_path / f"{code}.csv"), INT8_TOLERANCE)
    assert small.errors == []


def _fused_graph(path: Path, n_classes: int) -> Path:
    """Logits that follow from the mean of the signal and, where they are known, from age and sex."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weights = np.linspace(-0.02, 0.03, 3 * n_classes, dtype=np.float32).reshape(3, n_classes)
    nodes = [
        helper.make_node("IsNaN", ["facts"], ["unknown"]),
        helper.make_node("Where", ["unknown", "zero", "facts"], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["by_facts"]),
        helper.make_node("ReduceMean", ["signals_mv", "both"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["by_signal"]),
        helper.make_node("Add", ["by_facts", "by_signal"], ["logits"]),
    ]
    constants = {"zero": np.float32(0), "weights": weights, "both": np.array([1, 2]), "last": np.array([1])}
    shapes = {"signals_mv": ["batch", 12, 250], "facts": ["batch", 3], "logits": ["batch", n_classes]}
    entries = {name: helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()}
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    inputs = [entries["signals_mv"], entries["facts"]]
    graph = helper.make_graph(nodes, "fused", inputs, [entries["logits"]], initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_a_model_that_knows_age_and_sex_asks_for_them(browser, server, root, bundle, tmp_path):
    graph = _fused_graph(tmp_path / "fused.onnx", len(bundle.classes))
    facts = ("age", "female", "male")
    judge = replace(bundle, facts=facts, novelty=None, network=open_network("onnx", graph, bundle.about))
    write_web(judge, graph, root / MIDDLE / "fused")
    fused = visit(browser, server.url(f"{MIDDLE}/fused/"))
    path = write_csv(tmp_path / "ecg.csv", example_record("NORM"))
    fused.show(path)
    assert_same_answer(fused, judge, read_record(path))
    assert "3 of 3 facts that the model can use are unknown: age, female, male" in fused.text("#read .doubt")
    fused.page.click("#stated-box summary")
    assert fused.page.is_visible("#age")
    fused.page.fill("#age", "71")
    fused.page.select_option("#sex", "female")
    fused.page.evaluate("document.body.dataset.state = 'asked'")
    fused.page.click("#stated button")
    fused.answered()
    assert_same_answer(fused, judge, read_record(path).with_(age=71.0, sex="female"))
    assert "71 years, female" in fused.text("#read")
    assert fused.page.locator("#read .doubt").count() == 0
    assert fused.errors == []


def test_every_request_is_a_plain_get_of_the_pages_own_files_and_none_follows_the_start(
    browser, server, root, tmp_path
):
    path = write_csv(tmp_path / "ecg.csv", example_record("NORM"))
    fresh = visit(browser, server.url(f"{MIDDLE}/float/"))
    own = {str(file.relative_to(root / MIDDLE)) for file in (root / MIDDLE / "float").rglob("*")} | {"float/"}
    base = server.url(f"{MIDDLE}/").replace(" ", "%20")
    asked = [request for request in fresh.requests if not request.startswith(("GET blob:", "GET data:"))]
    assert len(asked) > 20
    assert {request.removeprefix(f"GET {base}") for request in asked} <= own
    before = len(server.asked)
    fresh.page.context.set_offline(True)
    fresh.show(path)
    assert fresh.page.locator(".finding").count() == 5
    assert len(server.asked) == before


def test_the_policy_forbids_requests_to_another_host_on_the_page_and_in_its_worker(page, server):
    other = server.url("stolen", host="127.0.0.1")
    attempt = (
        "(url) => fetch(url, {mode: 'no-cors', method: 'POST', body: 'ecg'}).then(() => 'sent', () => 'forbidden')"
    )
    assert page.page.evaluate(attempt, other) == "forbidden"
    worker = """(url) => new Promise((tell) => {
        const source = `fetch("${url}", {mode: "no-cors"}).then(() => postMessage("sent"), () => postMessage("forbidden"))`;
        const worker = new Worker(URL.createObjectURL(new Blob([source], {type: "text/javascript"})), {type: "module"});
        worker.onmessage = (event) => tell(event.data);
    })"""
    assert page.page.evaluate(worker, other) == "forbidden"
    assert not any(path == "/stolen" for _, _, path in server.asked)
    assert all("Content Security Policy" in error for error in page.errors)
    page.errors.clear()


def _cut_short(folder: Path) -> list[Path]:
    write_synthetic_corpus(folder / "corpus", 1)
    path = folder / "corpus/records100/00000/00001_lr.dat"
    path.write_bytes(path.read_bytes()[:-100])
    return [path.with_suffix(".hea"), path]


def _written(name: str, content: bytes) -> object:
    def write(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content)
        return [folder / name]

    return write


def _lonely(suffix: str) -> object:
    def write(folder: Path) -> list[Path]:
        write_synthetic_corpus(folder / "corpus", 1)
        return [folder / f"corpus/records100/00000/00001_lr{suffix}"]

    return write


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (_written("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(200)), "photo.png: this is an image"),
        (_written("renamed.csv", b"\xff\xd8\xff\xe0" + bytes(200)), "renamed.csv: this is an image"),
        (_written("ecg.xml", b"<?xml version='1.0'?><AnnotatedECG/>"), "this is an XML file"),
        (_written("empty.csv", b""), "empty.csv: the file is empty"),
        (_written("letter.txt", b"Dear colleague,\nthank you for referring this patient.\n"), "letter.txt: "),
        (_written("sums.csv", b"I,II,V9x\n1,2,3\n"), "rate must be stated"),
        (_written("odd.csv", b"time,I,II,V9x\n0,1,2,3\n0.01,1,2,3\n"), "column 'V9x' is no known lead"),
        (_written("hole.csv", b"time,I,II\n0,1,2\n0.01,1,x\n"), "row 3, column 3: 'x' is not a number"),
        (_written("bad.hea", b"\x00\x01\x02"), "bad.hea: the first line"),
        (_lonely(".hea"), "select 00001_lr.hea and 00001_lr.dat together"),
        (_lonely(".dat"), "needs its WFDB header 00001_lr.hea"),
        (_cut_short, "the header asks for 24000 bytes"),
    ],
    ids=["png", "jpeg-as-csv", "xml", "empty", "letter", "no-rate", "odd-lead", "cell", "no-header", "hea", "dat", "cut"],
)  # fmt: skip
def test_a_bad_file_is_refused_with_a_sentence(page, tmp_path, files, says):
    page.show(*files(tmp_path))
    assert says in page.text("#error .box")
    assert page.page.locator(".finding").count() == 0


def test_three_leads_are_refused_by_name_and_still_drawn(page, tmp_path):
    record = example_record("NORM")
    three = record.with_(signal=record.signal[[0, 1, 6]], leads=("I", "II", "V1"))
    page.show(write_csv(tmp_path / "three.csv", three))
    assert "Missing leads V2, V3, V4, V5, V6, which cannot be derived; the record has I, II, V1" in page.text(
        "#read .bad"
    )
    assert page.text(".headline") == "Not judged."
    assert page.page.locator(".finding").count() == 0
    assert page.page.locator("#tracing path[data-lead]").count() == 3


def test_missing_limb_leads_are_derived_and_said(page, bundle, tmp_path):
    record = example_record("LVH")
    kept = [0, 1, *range(6, 12)]
    path = write_csv(
        tmp_path / "eight.csv", record.with_(signal=record.signal[kept], leads=tuple(TWELVE_LEADS[k] for k in kept))
    )
    page.show(path)
    assert_same_answer(page, bundle, read_record(path))
    assert "Derived from the other limb leads: III, aVR, aVL, aVF" in page.text("#read .notes")


def test_microvolts_called_millivolts_are_refused(page, tmp_path):
    record = example_record("NORM", fs=100)
    text = "time," + ",".join(f"{lead} [mV]" for lead in record.leads) + "\n"
    rows = np.hstack([np.arange(1000)[:, None] / 100, record.signal.T * 1000])
    (tmp_path / "loud.csv").write_text(text + "\n".join(",".join(f"{v:.2f}" for v in row) for row in rows))
    page.show(tmp_path / "loud.csv")
    assert "microvolts read as millivolts?" in page.text("#read .bad")
    assert page.page.locator("#tracing svg").count() == 0


def test_what_the_file_does_not_say_is_asked_for_and_then_read(page, bundle, tmp_path):
    record = example_record("CLBBB", fs=100)
    path = write_csv(tmp_path / "bare.csv", record, time=False)
    page.show(path)
    assert "1000 rows would be 10 s at 100 Hz" in page.text("#error .box")
    assert page.page.get_attribute("#fs", "aria-invalid") == "true"
    page.page.evaluate("document.body.dataset.state = 'asked'")
    page.page.fill("#fs", "100")
    page.page.press("#fs", "Enter")
    page.answered()
    assert_same_answer(page, bundle, read_record(path, fs=100))


def test_several_records_are_listed_each_with_its_answer(page, tmp_path):
    files = [write_csv(tmp_path / f"{code}.csv", example_record(code, seed=1)) for code in ("NORM", "LVH")]
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page.show(*files, tmp_path / "photo.png")
    rows = page.page.locator("#records button").all_inner_texts()
    assert ["Reported: normal ECG." in row for row in rows] == [True, False, False]
    assert "cannot be read" in rows[2]
    page.page.click("#records button:nth-child(2)")
    assert "LVH.csv" in page.text("#read")
    assert "hypertrophy" in page.text(".headline")


def test_a_file_can_be_dropped_on_the_page(page, tmp_path):
    text = write_csv(tmp_path / "dropped.csv", example_record("NORM")).read_text()
    drop = """(text) => {
        document.body.dataset.state = "asked";
        const data = new DataTransfer();
        data.items.add(new File([text], "dropped.csv"));
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    page.page.evaluate(drop, text)
    assert "dropped.csv" in page.answered().text("#read")


def test_a_long_recording_is_drawn_part_by_part(page, tmp_path):
    record = example_record("NORM", fs=100)
    page.show(write_csv(tmp_path / "long.csv", record.with_(signal=np.tile(record.signal, (1, 4)))))
    first = page.page.get_attribute("#tracing path[data-lead=V1]", "d")
    page.page.fill("#start", "25")
    assert page.text("#tracing output") == "25 s"
    assert page.page.get_attribute("#tracing path[data-lead=V1]", "d") != first


def test_on_a_phone_the_page_fits_and_leads_stand_one_below_the_other(page):
    page.page.set_viewport_size({"width": 375, "height": 812})
    # The page draws the tracing of the test before again, in the frame that tells it of its new width.
    page.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.page.evaluate("document.getElementById('result').replaceChildren(); scrollTo(0, 0)")
    page.page.click("#sample")
    page.answered()
    assert _scrolls_to(page, "#read")  # which lies far below the buttons here
    page.page.wait_for_selector("#tracing path[data-lead] >> nth=11")
    assert page.page.locator("#tracing path[data-lead]").count() == 12
    assert page.page.evaluate("document.documentElement.scrollWidth") == 375
    page.page.mouse.wheel(0, 3000)
    assert page.page.locator(".warning").bounding_box()["y"] >= 0  # "not a medical device" stays in sight
    page.page.set_viewport_size({"width": 1280, "height": 900})


def _scrolls_to(page, selector):
    """Whether an element comes to the upper third of the window within five seconds; scrolling is smooth."""
    for _ in range(50):
        if page.page.locator(selector).bounding_box()["y"] < page.page.viewport_size["height"] / 3:
            return True
        page.page.wait_for_timeout(100)
    return False


CONTRASTS = """() => {
    const luminance = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const found = colour(getComputedStyle(at).backgroundColor);
            if (found.length === 3 || found[3] === 1) return found.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest("svg, .skip, button:disabled")
        && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
    return texts.map((e) => {
        const [a, b] = [luminance(colour(getComputedStyle(e).color).slice(0, 3)), luminance(ground(e))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim().slice(0, 40)];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(page, scheme):
    page.page.emulate_media(color_scheme=scheme)
    page.page.click("#sample")
    page.answered()
    page.page.evaluate("document.querySelector('#about details').open = true")
    contrasts = page.page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [pair for pair in contrasts if pair[0] < 4.5] == []


def test_everything_can_be_done_with_the_keyboard_and_has_a_name(page):
    page.page.evaluate("document.querySelector('.skip').focus()")
    reached = []
    for _ in range(3):
        page.page.keyboard.press("Tab")
        reached.append(page.page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "sample":
            break
    assert reached == ["files", "sample"]
    page.page.evaluate("document.body.dataset.state = 'asked'")
    page.page.keyboard.press("Enter")
    page.answered()
    assert page.text(".headline") == "Reported: myocardial infarction."
    unnamed = page.page.evaluate(
        """() => [...document.querySelectorAll("input, select, button")].filter((control) =>
            !control.labels?.length && !control.textContent.trim() && !control.ariaLabel).map((control) => control.outerHTML)"""
    )
    assert unnamed == []


def test_an_altered_graph_is_refused_before_anything_is_judged(browser, server, root):
    altered = root / MIDDLE / "altered"
    shutil.copytree(root / MIDDLE / "float", altered)
    content = bytearray((altered / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (altered / "model.onnx").write_bytes(content)
    seen = visit(browser, server.url(f"{MIDDLE}/altered/"), "body[data-state=failed]")
    assert "model.onnx is not the file that was exported" in seen.text("#status")
    assert seen.page.is_disabled("#files")
    assert seen.page.is_disabled("#sample")


def test_a_browser_that_answers_otherwise_than_python_is_not_used(browser, server, root):
    other = root / MIDDLE / "other"
    shutil.copytree(root / MIDDLE / "float", other)
    about = json.loads((other / "model.json").read_text())
    about["sample"]["expected"][0]["probability"] += 0.1
    (other / "model.json").write_text(json.dumps(about))
    seen = visit(browser, server.url(f"{MIDDLE}/other/"), "body[data-state=failed]")
    assert "this browser gives other answers than Python did" in seen.text("#status")
    assert seen.page.is_disabled("#sample")


def test_the_page_tells_where_the_model_comes_from_and_its_limits(page):
    about = page.page.text_content("#about-body")
    for words in (
        "17,084 records of 14,823 patients",
        "CC BY 4.0",
        "Rare or unlisted conditions are unknown",
        "Macro AUROC",
    ):
        assert words in about
    assert "checksums were compared" in about
