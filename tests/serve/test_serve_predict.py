import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from serve_live import BODY, EXAMPLE, TABLE, form
from starlette.testclient import TestClient

from einthoven.bundle import load_bundle
from einthoven.errors import EinthovenError
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record
from einthoven.serve.app import create_app
from einthoven.serve.settings import Settings, read_token
from einthoven.serve.shelf import load_shelf

LEADS = ",".join(EXAMPLE["leads"])
SAMPLES = np.array(EXAMPLE["samples"], "<f4")
RAW = {"Content-Type": "application/octet-stream"}
CSV = {"Content-Type": "text/csv"}


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(Settings(max_records=4, max_duration_s=60)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def expected():
    """What the bundle itself says of the example."""
    record = Record(SAMPLES, 100.0, tuple(EXAMPLE["leads"]))
    return load_bundle("ptbxl-superdiagnostic", threads=1).predict(record).to_dict()


def test_every_way_to_send_an_ecg_gives_what_the_bundle_says(client, expected):
    twice = {"Content-Type": "application/json"}
    answers = [
        client.post("/predict", content=BODY, headers=twice),
        client.post(f"/predict?fs=100&leads={LEADS}", content=SAMPLES.tobytes(), headers=RAW),
        client.post("/predict", params={"fs": 100, "leads": EXAMPLE["leads"]}, content=SAMPLES.tobytes(), headers=RAW),
        client.post(f"/predict?fs=100&leads={LEADS}&unit=uV", content=(SAMPLES * 1000).tobytes(), headers=RAW),
        client.post("/predict", content=TABLE, headers=CSV),
        client.post("/predict", files={"file": ("table.csv", TABLE.encode())}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["model"]["name"] == "ptbxl-superdiagnostic"
        assert found["model"]["backend"] == "onnx"
        assert "Not a medical device" in found["notice"]
        assert not found["refused"]
        for mine, own in zip(found["findings"], expected["findings"], strict=True):
            assert mine == {**own, "probability": pytest.approx(own["probability"], abs=1e-4)}
    assert {key: answers[0].json()[key] for key in expected} == expected


def test_several_records_are_answered_one_by_one(client, expected):
    bad = {**EXAMPLE, "fs": -1}
    answer = client.post("/predict", json={"records": [EXAMPLE, bad, {**EXAMPLE, "record_id": "b"}]}).json()
    assert [result["file"] for result in answer["results"]] == ["records.0", "records.2"]
    assert answer["results"][1]["record_id"] == "b"
    assert answer["results"][0]["findings"] == expected["findings"]
    assert list(answer["failed"]) == ["records.1"]
    assert answer["failed"]["records.1"].startswith("records.1.fs: ")
    files = [("file", ("a.csv", TABLE.encode())), ("file", ("b.png", b"\x89PNG"))]
    answer = client.post("/predict", files=files).json()
    assert [result["file"] for result in answer["results"]] == ["a.csv"]
    assert "is a picture" in answer["failed"]["b.png"]
    assert client.post("/predict", json={"records": [EXAMPLE] * 5}).status_code == 413


def test_missing_samples_are_null(client):
    samples = [row[:] for row in EXAMPLE["samples"]]
    samples[0][:3] = [None] * 3
    answer = client.post("/predict", json={**EXAMPLE, "samples": samples}).json()
    assert [flag["code"] for flag in answer["flags"]] == ["missing_samples"]


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"fs": None}, 422, "fs: "),
        ({"fs": 0}, 422, "fs: input should be greater than 0"),
        ({"unit": "furlong"}, 422, "unit: "),
        ({"sex": "x"}, 422, "sex: "),
        ({"age": -3}, 422, "age: "),
        ({"speed": 25}, 422, "speed: extra inputs are not permitted"),
        ({"samples": None}, 422, "one list of numbers for each lead"),
        ({"samples": [[1, 2], [3]], "leads": ["I", "II"]}, 422, "all of one length"),
        ({"samples": [["1", "2"]], "leads": ["I"]}, 422, "one list of numbers"),
        ({"samples": [[[1]]], "leads": ["I"]}, 422, "one list of numbers"),
        ({"samples": [[]], "leads": ["I"]}, 422, "no samples"),
        ({"samples": [[1e39, 1]], "leads": ["I"]}, 422, "too large"),
        ({"samples": SAMPLES.T.tolist()}, 422, "transpose it"),
        ({"leads": ["I"] * 8}, 422, "several signals are called I"),
        ({"leads": LEADS}, 200, ""),
        ({"leads": None}, 422, "8 signals for 12 leads"),
        ({"leads": []}, 422, "leads: "),
    ],
)
def test_json_that_is_no_ecg_is_refused_in_one_sentence(client, change, status, sentence):
    answer = client.post("/predict", json={**EXAMPLE, **change})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert list(answer.json()) == ["error"]
        assert sentence in answer.json()["error"]
        assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "content", "kind", "status", "sentence"),
    [
        ("/predict", b"{", "application/json", 400, "no JSON"),
        ("/predict", b"[" * 100_000, "application/json", 400, "no JSON"),
        ("/predict", b"[1]", "application/json", 422, "must be an object"),
        ("/predict", b'{"records": []}', "application/json", 422, "records must be a list"),
        ("/predict", b'{"records": [3]}', "application/json", 200, ""),
        ("/predict", b"12345678", "application/octet-stream", 422, "state it in the query"),
        ("/predict?fs=100", b"123", "application/octet-stream", 422, "3 bytes are not float32 samples of 12 leads"),
        ("/predict?fs=100", b"", "application/octet-stream", 422, "0 bytes"),
        ("/predict?fs=nan", b"", "application/octet-stream", 422, "fs: "),
        ("/predict?fs=100&speed=2", b"", "application/octet-stream", 422, "speed: extra"),
        ("/predict", b"I,II\n1,x\n", "text/csv", 422, "is not a number"),
        ("/predict", b"", "text/csv", 422, "empty"),
        ("/predict", b"x", "image/png", 415, "multipart/form-data"),
        ("/predict", b"x", "", 415, "content type"),
        ("/predict", b"x", "multipart/form-data", 400, "form cannot be read"),
        ("/predict?model=ptbxl-superdiagnostik", BODY, "application/json", 404, "did you mean 'ptbxl-superdiagnostic'"),
        ("/nothing", b"", "application/json", 404, "openapi.json"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused_in_one_sentence(client, path, content, kind, status, sentence):
    answer = client.post(path, content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert sentence in answer.json()["error"]


def test_a_record_that_the_model_refuses_is_an_error_with_its_flags(client):
    few = client.post("/predict?fs=100&leads=I,II,V1", content=SAMPLES[:3].tobytes(), headers=RAW)
    wrong = client.post("/predict", json={**EXAMPLE, "samples": (SAMPLES * 1000).tolist()})
    for answer, code in ((few, "does_not_conform"), (wrong, "wrong_unit")):
        assert answer.status_code == 422
        told = answer.json()
        assert told["error"].startswith("refused: ")
        assert told["refused"]
        assert told["findings"] == []
        assert [flag["code"] for flag in told["flags"]] == [code]
    assert "missing leads V2, V3, V4, V5, V6" in few.json()["error"]
    assert "microvolts read as millivolts?" in wrong.json()["error"]


def test_a_recording_longer_than_allowed_is_refused(client):
    long = np.tile(SAMPLES, (1, 30))
    answer = client.post(f"/predict?fs=100&leads={LEADS}", content=long.tobytes(), headers=RAW)
    assert answer.status_code == 413
    assert "75 s, 60 s are allowed" in answer.json()["error"]


def test_a_form_with_fields_is_told_where_they_belong(client):
    answer = client.post("/predict", files={"file": ("a.csv", TABLE.encode())}, data={"fs": "100"})
    assert answer.status_code == 400
    assert "belong into the query" in answer.json()["error"]
    body, headers = form()
    assert "curl -F" in client.post("/predict", content=body, headers=headers).json()["error"]


def test_the_models_tell_what_they_are(client):
    (model,) = client.get("/models").json()
    assert [each["class"] for each in model["classes"]] == ["CD", "HYP", "MI", "NORM", "STTC"]
    assert model["spec"]["leads"] == list(TWELVE_LEADS)
    assert 0.9 < model["figures"]["validation"]["macro_auroc"]["value"] < 1
    assert "CC BY" in model["attribution"]
    assert client.get("/ready").json() == {"status": "ready"}


def test_every_answer_has_a_number_and_the_headers_of_a_careful_server(client):
    for answer in (client.get("/health"), client.get("/nothing"), client.post("/predict", content=b"x")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]
    assert client.get("/health", headers={"X-Request-ID": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert client.get("/health", headers={"X-Request-ID": "a b\x7f"}).headers["x-request-id"] != "a b\x7f"


def test_a_defect_is_a_sentence_to_the_client_and_a_place_in_the_log(monkeypatch, capsys):
    with TestClient(create_app(Settings(json_logs=True)), raise_server_exceptions=False) as client:
        monkeypatch.setattr("einthoven.bundle.Bundle.predict_many", lambda *_: {}["patient Miller"])
        answer = client.post("/predict", json=EXAMPLE)
    assert answer.status_code == 500
    assert "defect" in answer.json()["error"]
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["fault"].startswith("KeyError at test_serve_predict.py:")
    assert "Miller" not in json.dumps(line)


def test_the_log_tells_the_request_and_nothing_of_the_patient(capsys):
    with TestClient(create_app(Settings(json_logs=True))) as client:
        client.post("/predict?age=61&sex=female", files={"file": ("miller-1950.csv", TABLE.encode())})
        client.get("/health")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == 1  # probes are counted, not logged
    assert set(lines[0]) == {"time", "route", "status", "ms", "bytes", "model", "request_id"}
    assert (lines[0]["route"], lines[0]["status"]) == ("/predict", 200)
    assert lines[0]["bytes"] > len(TABLE)
    assert "miller" not in json.dumps(lines)


def test_several_models_are_asked_by_name():
    both = ("ptbxl-superdiagnostic", "other=ptbxl-superdiagnostic")
    with TestClient(create_app(Settings(models=both))) as client:
        assert [model["name"] for model in client.get("/models").json()] == ["ptbxl-superdiagnostic", "other"]
        assert client.post("/predict", json=EXAMPLE).json()["model"]["name"] == "ptbxl-superdiagnostic"
        assert client.post("/predict?model=other", json=EXAMPLE).json()["model"]["name"] == "other"
        upload = client.post("/predict?model=other&age=61", files={"file": ("a.csv", TABLE.encode())})
        assert upload.json()["model"]["name"] == "other"
    with pytest.raises(EinthovenError, match="two models are called 'ptbxl-superdiagnostic'"):
        load_shelf(Settings(models=both[:1] * 2))


def test_a_token_opens_what_is_not_open(tmp_path, monkeypatch):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    token = read_token(file)
    with TestClient(create_app(Settings(token=token))) as client:
        for given in ("", "Bearer", "Bearer 0123456789abcdeg", "Basic 0123456789abcdef", "Bearer ä"):
            answer = client.post("/predict", json=EXAMPLE, headers={"Authorization": given.encode("latin-1")})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == client.get("/models").status_code == 401
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        mine = {"Authorization": f"Bearer {token}"}
        assert client.post("/predict", json=EXAMPLE, headers=mine).status_code == 200
        assert 'einthoven_rejected_total{reason="token"} 7.0' in client.get("/metrics", headers=mine).text
    file.write_text("short")
    with pytest.raises(EinthovenError, match="at least 16 plain characters"):
        read_token(file)
    with pytest.raises(EinthovenError, match="cannot be read"):
        read_token(tmp_path / "none")
    monkeypatch.setenv("EINTHOVEN_TOKEN", token)
    assert read_token(None) == token


def test_long_recordings_are_judged_beside_the_others_and_the_same(client):
    long = np.tile(SAMPLES, (1, 22))  # 55 s of eight leads at 100 Hz
    body = long.repeat(10, axis=1)
    answer = client.post(f"/predict?fs=1000&leads={LEADS}", content=body.tobytes(), headers=RAW)
    assert body.size > 12 * 60 * 500
    record = Record(body, 1000.0, tuple(EXAMPLE["leads"]))
    own = load_bundle("ptbxl-superdiagnostic", threads=1).predict(record).to_dict()["findings"]
    assert answer.json()["findings"] == own


@pytest.mark.real
def test_real_files_get_what_einthoven_predict_says(client, real_data: Path, capsys):
    from einthoven.cli.verbs import predict_files

    files = [
        real_data / "formats/dicom_marcodebe/anonymous_ecg.dcm",
        next((real_data / "formats/muse_perottelab").glob("*.xml")),
        real_data / "formats/scp_rigacci/Example.scp",
        next((real_data / "formats/hl7_aecg_LIRYC").glob("*.xml")),
        real_data / "cinc2021/PTB_PTBXL/HR00001.hea",
        min((real_data / "ludb/data").glob("*.hea")),
    ]
    nothing = {"fs": None, "unit": None, "leads": None}
    with contextlib.suppress(typer.Exit):  # a refused file makes the exit code 2
        predict_files("ptbxl-superdiagnostic", files, True, False, nothing, {"age": None, "sex": None})
    said = json.loads(capsys.readouterr().out)["results"]
    judged = 0
    for path, own in zip(files, said, strict=True):
        parts = [each for each in path.parent.glob(f"{path.stem}.*") if path.suffix == ".hea" or each == path]
        answer = client.post("/predict", files=[("file", (each.name, each.read_bytes())) for each in parts])
        told = answer.json()
        assert answer.status_code == (422 if own["refused"] else 200), told
        assert {key: told[key] for key in own if key not in ("file", "error")} == {
            key: value for key, value in own.items() if key not in ("file", "error")
        }
        judged += not own["refused"]
    assert judged >= 4


def test_an_explanation_without_torch_is_a_sentence(client, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = client.post("/explain", json=EXAMPLE)
    assert answer.status_code == 501
    assert "pip install 'einthoven[explain]'" in answer.json()["error"]


@pytest.mark.slow  # imports torch
def test_a_wrong_question_for_an_explanation_is_refused(client):
    pytest.importorskip("captum")
    for query, sentence in (("method=igg", "igg"), ("classes=MIX", "did you mean 'MI'")):
        answer = client.post(f"/explain?{query}", json=EXAMPLE)
        assert answer.status_code == 422, answer.text
        assert sentence in answer.json()["error"]
    several = client.post("/explain", json={"records": [EXAMPLE]})
    assert "one ECG at a time" in several.json()["error"]


@pytest.mark.slow  # imports torch
def test_an_explanation_tells_what_each_lead_added(client):
    pytest.importorskip("captum")
    answer = client.post("/explain?method=gradcam&classes=CD,MI&attributions=true", json=EXAMPLE)
    told = answer.json()
    assert answer.status_code == 200, told
    assert [each["class"] for each in told["classes"]] == ["CD", "MI"]
    assert told["model"]["name"] == "ptbxl-superdiagnostic"
    assert np.array(told["attributions"]["values"]["MI"]).shape == (12, 250)
    assert "torch" in sys.modules
