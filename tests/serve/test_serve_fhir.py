import json
import re

import pytest
from fhir.resources.bundle import Bundle as BundleR5
from fhir.resources.observation import Observation as ObservationR5
from fhir.resources.R4B.bundle import Bundle as BundleR4B
from fhir.resources.R4B.observation import Observation as ObservationR4B
from serve_live import EXAMPLE
from starlette.testclient import TestClient

from einthoven.bundle import Finding, Prediction
from einthoven.serve.app import create_app
from einthoven.serve.fhir import collection, observation
from einthoven.serve.settings import Settings
from einthoven.serve.shelf import load_shelf
from einthoven.signals import Flag

ASKED = {"Accept": "application/fhir+json"}
# R4: https://hl7.org/fhir/R4/observation.html; what an Observation and its components may hold.
OBSERVATION = set(
    [
        "resourceType",
        "id",
        "text",
        "contained",
        "identifier",
        "basedOn",
        "partOf",
        "status",
        "category",
        "code",
        "subject",
        "focus",
        "encounter",
        "effectiveDateTime",
        "issued",
        "performer",
        "value",
        "dataAbsentReason",
        "interpretation",
        "note",
        "bodySite",
        "method",
        "specimen",
        "device",
        "referenceRange",
        "hasMember",
        "derivedFrom",
        "component",
    ]
)
COMPONENT = {"code", "valueQuantity", "dataAbsentReason", "interpretation", "referenceRange"}
STATUS = {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}


@pytest.fixture(scope="module")
def model():
    return load_shelf(Settings()).find(None)


def check(told):
    """The models of R4B and R5, and the rules of R4 that bear on what is made here and that the models do not check."""
    assert json.loads(ObservationR4B.model_validate(told).model_dump_json())["status"] == told["status"]
    ObservationR5.model_validate(told)
    assert set(told) <= OBSERVATION
    assert told["resourceType"] == "Observation"
    assert told["status"] in STATUS
    assert told["code"]["coding"][0] == {"system": "http://loinc.org", "code": "11524-6", "display": "EKG study"}
    assert told["device"]["reference"] == f"#{told['contained'][0]['id']}"
    assert told["text"]["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml">')
    assert ("dataAbsentReason" in told) != ("component" in told)
    for component in told.get("component", ()):
        assert set(component) <= COMPONENT
        assert component["code"] != told["code"]  # obs-7
        assert 0 <= component["valueQuantity"]["value"] <= 1
        for threshold in component.get("referenceRange", ()):
            assert "type" in threshold  # without it R4 would read "normal from here on"


def test_a_prediction_is_one_observation_with_a_component_for_each_class():
    with TestClient(create_app(Settings())) as client:
        plain = client.post("/predict", json=EXAMPLE).json()
        answer = client.post("/predict", json=EXAMPLE, headers=ASKED)
        several = client.post("/predict", json={"records": [EXAMPLE, {}, EXAMPLE]}, headers=ASKED).json()
    assert answer.headers["content-type"] == "application/fhir+json"
    told = answer.json()
    check(told)
    assert told["status"] == "preliminary"
    for component, finding in zip(told["component"], plain["findings"], strict=True):
        assert component["code"]["text"].startswith(f"{finding['class']}: ")
        assert component["valueQuantity"]["value"] == finding["probability"]
        code = component["interpretation"][0]["coding"][0]["code"]
        assert code == ("POS" if finding["present"] else "NEG")
        assert component["referenceRange"][0]["low"]["value"] == pytest.approx(finding["threshold"], abs=1e-6)
    assert several["resourceType"] == "Bundle"
    assert several["type"] == "collection"
    BundleR4B.model_validate(several)
    BundleR5.model_validate(several)
    kinds = [entry["resource"]["resourceType"] for entry in several["entry"]]
    assert kinds == ["Observation", "Observation", "OperationOutcome"]
    assert len({entry["fullUrl"] for entry in several["entry"]}) == 3
    assert "records.1" in several["entry"][2]["resource"]["issue"][0]["diagnostics"]


def test_an_answer_of_71_classes_is_valid_and_its_text_begins_with_the_likeliest():
    with TestClient(create_app(Settings(models=("ptbxl-all",)))) as client:
        plain = client.post("/predict", json=EXAMPLE).json()["findings"]
        told = client.post("/predict", json=EXAMPLE, headers=ASKED).json()
    check(told)
    assert len(told["component"]) == len(plain) == 71
    first = max(plain, key=lambda finding: (finding["present"] is True, finding["probability"]))
    assert first["present"]
    assert re.findall("<p>(.*?)</p>", told["text"]["div"])[0] == (
        f"{first['class']}: {first['description']}: {first['probability']:.3f} (present)"
    )


def test_nothing_found_is_valid_and_never_called_normal(model):
    told = observation(Prediction("r2", (Finding("MI", "myocardial infarction", 0.1, 0.5, False),)), model)
    check(told)
    assert "No class is reported as present; that does not mean a normal ECG." in told["text"]["div"]
    assert told["component"][0]["interpretation"][0]["coding"][0]["code"] == "NEG"


def test_a_refused_record_is_a_cancelled_observation_with_its_reason(model):
    flag = Flag("flat", "every lead is <flat>", True)
    told = observation(Prediction("r1", (), (flag,)), model)
    check(told)
    assert told["status"] == "cancelled"
    assert told["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert told["identifier"] == [{"value": "r1"}]
    assert "every lead is <flat>" in [note["text"] for note in told["note"]]


def test_what_is_overruled_undecided_or_without_threshold_is_said(model):
    findings = (
        Finding("A", "a & b", 0.7, 0.5, False, overruled=True, sure="undecided"),
        Finding("B", "", 0.2, None, None),
    )
    told = observation(Prediction("", findings), model)
    check(told)
    first, second = told["component"]
    assert first["interpretation"][0]["text"] == (
        "not reported; overruled by a stronger finding; within the stated error rate: undecided"
    )
    assert second["code"]["text"] == "B"
    assert second["interpretation"][0]["coding"][0]["code"] == "IND"
    assert "referenceRange" not in second
    assert "identifier" not in told
    json.dumps(collection([told], {}), allow_nan=False)
