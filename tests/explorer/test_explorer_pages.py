"""The pages of the Explorer without a browser: what a choice leads to, and that every error is a sentence."""

import io
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from explorer_site import write_judged_run
from streamlit.testing.v1 import AppTest

from einthoven.bundle import PRETRAINED
from einthoven.corpora.synthetic import example_record
from einthoven.explorer import settings
from einthoven.explorer.intake import SAMPLES
from einthoven.explorer.settings import Settings

APP = Path(settings.__file__).with_name("app.py")
SHIPPED = PRETRAINED / "ptbxl-superdiagnostic"


@pytest.fixture
def open_app(tmp_path, monkeypatch):
    monkeypatch.delenv("EINTHOVEN_BUNDLE", raising=False)

    def start(**chosen):
        settings.use(Settings(**{"runs": tmp_path / "runs", "datasets": tmp_path / "datasets", **chosen}))
        return AppTest.from_file(str(APP), default_timeout=60).run()

    yield start
    settings.use(Settings())


def html(app):
    return "".join(each.proto.body if hasattr(each.proto, "body") else "" for each in app.get("html"))


def sample(app, code):
    return (
        app.selectbox(key="sample")
        .set_value(next(f"{each.code} {each.seed}" for each in SAMPLES if each.code == code))
        .run()
    )


def test_the_page_begins_with_a_sample_a_model_and_its_findings(open_app):
    app = open_app()
    text = html(app)
    assert not app.exception
    assert "Not a medical device." in text
    assert "Reported: conduction disturbance." in text
    assert text.index("What was read") < text.index("What the model says"), "what was read stands before any result"


def test_another_sample_gives_other_findings_and_a_normal_one_is_no_abnormality(open_app):
    app = sample(open_app(), "NORM")
    text = html(app)
    assert "Reported: normal ECG." in text
    assert "does not exclude disease" in text
    assert 'class="ein-headline ein-normal"' in text
    assert "ein-headline ein-abnormal" not in text
    assert "Reported: myocardial infarction." in html(sample(app, "ASMI"))


@pytest.mark.slow
def test_the_backend_is_chosen_where_a_bundle_has_several(open_app):
    app = open_app()
    assert app.selectbox(key="backend first").options == ["ONNX Runtime", "PyTorch"]
    app = app.selectbox(key="backend first").set_value("torch").run()
    assert not app.exception
    assert "Reported: conduction disturbance." in html(app)


def test_a_broken_model_is_a_sentence_and_the_page_goes_on(open_app, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(SHIPPED, broken)
    (broken / "model.onnx").write_bytes(b"nonsense")
    app = open_app(model=str(broken))
    assert not app.exception
    assert "its checksum differs from bundle.json" in html(app)
    assert "What was read" in html(app)
    assert "Reported" not in html(app)
    whole = app.selectbox(key="model first").set_value("shipped ptbxl-superdiagnostic").run()
    assert "Reported: conduction disturbance." in html(whole)


@pytest.mark.slow
def test_a_path_can_be_named_and_one_that_leads_nowhere_is_a_sentence(open_app):
    app = open_app()
    app = app.selectbox(key="model first").set_value("path").run()
    assert "Name the folder" in html(app)
    app = app.text_input(key="path first").set_value("/nowhere/at/all").run()
    assert "no bundle" in html(app)
    assert not app.exception
    app = app.text_input(key="path first").set_value(str(SHIPPED)).run()
    assert "Reported: conduction disturbance." in html(app)


def test_the_bundle_of_the_environment_wins(open_app, monkeypatch):
    monkeypatch.setenv("EINTHOVEN_BUNDLE", str(SHIPPED))
    app = open_app(model="ptbxl-superdiagnostic")
    assert app.selectbox(key="model first").options[0] == "EINTHOVEN_BUNDLE: ptbxl-superdiagnostic"
    assert "Reported: conduction disturbance." in html(app)


def csv_of(record, leads, scale=1.0):
    out = io.BytesIO()
    header = ",".join(["time", *(f"{lead} [mV]" for lead in record.leads[:leads])])
    time = np.arange(record.n_samples) / record.fs
    np.savetxt(out, np.c_[time, record.signal[:leads].T * scale], "%.4f", ",", header=header, comments="")
    return out.getvalue()


def upload(app, name, content):
    app.segmented_control(key="source").set_value("Your own files").run()
    return app.file_uploader(key="files").set_value([(name, content, "text/csv")]).run()


def test_an_upload_is_read_and_judged_and_three_leads_are_refused_with_the_reason(open_app):
    record = example_record("CLBBB", seed=1)
    app = upload(open_app(), "mine.csv", csv_of(record, 12))
    assert not app.exception
    assert "Reported: conduction disturbance." in html(app)
    assert "mine.csv" in html(app)
    assert "12: I, II, III" in html(app)
    app = app.file_uploader(key="files").set_value([("three.csv", csv_of(record, 3), "text/csv")]).run()
    assert "Not judged." in html(app)
    assert "missing leads V1" in html(app)
    assert "Explain" not in [button.label for button in app.button], "what is refused is not explained"


def test_microvolts_named_millivolts_are_refused_and_can_be_stated(open_app):
    app = upload(open_app(), "uv.csv", csv_of(example_record("CLBBB", seed=1), 12, scale=1000.0))
    assert "microvolts read as millivolts?" in html(app)
    app.selectbox(key="unit uv.csv").set_value("uV")
    app = next(button for button in app.button if button.label == "Read it so").click().run()
    assert "Reported: conduction disturbance." in html(app)


@pytest.mark.slow
def test_an_explanation_is_made_when_asked_for_with_its_checks_in_words(open_app):
    app = open_app()
    assert "Checks and limits" not in html(app)
    app = app.selectbox(key="why method").set_value("gradcam").run()
    app = app.button(key="why ask").click().run()
    text = html(app)
    assert "Checks and limits" in text
    assert "Taking away first what it marks" in text
    assert "This method tells moments apart, not leads." in text


def test_without_torch_the_explanation_is_a_sentence(open_app, monkeypatch):
    from einthoven.explorer import models

    def missing(*args):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(models, "_network", missing)
    app = open_app().button(key="why ask").click().run()
    assert "pip install &#x27;einthoven[explain]&#x27;" in html(app)
    assert not app.exception


def test_a_defect_is_a_sentence_without_traceback(open_app, monkeypatch):
    from einthoven.explorer import page_ecg

    def defect(*args, **kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(page_ecg, "judge", defect)
    app = open_app()
    assert not app.exception
    assert "Something went wrong inside judging the ECG" in html(app)
    assert "secret detail" not in html(app)


@pytest.mark.slow
def test_a_second_model_is_compared_on_the_same_ecg(open_app):
    app = open_app()
    app = app.toggle(key="second asked").set_value(True).run()
    app = app.selectbox(key="model second").set_value("shipped ptbxl-superdiagnostic").run()
    assert "That is the same model" in html(app)
    app = app.selectbox(key="backend second").set_value("torch").run()
    assert "Of 5 classes that both know: both report CD." in html(app)


def page(name):
    return AppTest.from_string(f"from einthoven.explorer.page_{name} import show\nshow()", default_timeout=60)


def test_without_runs_and_datasets_the_pages_say_what_to_do(open_app):
    open_app()
    assert "train a model, or start the Explorer with --runs" in html(page("runs").run())
    assert "make one with einthoven prepare" in html(page("datasets").run())


def test_the_page_over_datasets_counts_its_labels(open_app, dataset_folder):
    open_app(datasets=dataset_folder.parent)
    app = page("datasets").run()
    text = html(app)
    assert not app.exception
    assert "240 records of" in text
    assert "Who has which label" in text
    assert "Which go together" in text
    assert "Median age" in text
    other = app.selectbox[1].set_value("all").run()
    assert "LBBB" in html(other)
    assert not other.exception


def test_a_dataset_that_is_damaged_is_a_sentence(open_app, tmp_path):
    (tmp_path / "datasets" / "bad").mkdir(parents=True)
    (tmp_path / "datasets" / "bad" / "dataset.json").write_text("{}")
    open_app()
    assert "dataset format" in html(page("datasets").run())


def test_the_page_over_runs_shows_table_histories_figures_confusion_and_mistakes(open_app, tmp_path):
    write_judged_run(tmp_path / "runs")
    open_app()
    app = page("runs").run()
    text = html(app)
    assert not app.exception
    for part in ("mine/001", "0.9000", "0.9375 [0.9312, 0.9440]", "False alarm", "Worst mistakes"):
        assert part in text
    assert len(app.image) == 2, "the histories, and the mistake"


def test_a_wrong_model_or_port_is_said_on_the_command_line(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from einthoven.cli.main import app
    from einthoven.errors import EinthovenError
    from einthoven.explorer import launch

    monkeypatch.chdir(tmp_path)
    wrong = CliRunner().invoke(app, ["explore", "--model", "nonsense"])
    assert isinstance(wrong.exception, EinthovenError)
    assert "--model nonsense: no such folder or shipped bundle" in str(wrong.exception)
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EinthovenError, match=f"port {port} cannot be used"):
            launch.launch(Settings(), port=port, open_page=False)


def test_the_server_listens_here_only_and_reports_to_nobody():
    from streamlit import config

    from einthoven.explorer.launch import options

    chosen = options(8501, True)
    assert chosen["server_address"] == "localhost"
    assert chosen["browser_gatherUsageStats"] is False
    assert chosen["client_showErrorDetails"] == "none"
    known = {option.key.replace(".", "_") for option in config.get_config_options().values()}
    assert set(chosen) <= known, "an option that Streamlit does not know would be ignored"
