import json

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from serve_live import form
from starlette.testclient import TestClient

from einthoven.serve.answers import Answer, Answers, Error
from einthoven.serve.app import create_app
from einthoven.serve.settings import Settings


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(Settings(concurrency=100))) as client:
        yield client


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def test_every_example_of_the_document_works(client, document):
    content = document["components"]["requestBodies"]["Ecg"]["content"]
    tried = 0
    for kind, about in content.items():
        for example in about.get("examples", {}).values():
            value = example["value"]
            body = value if isinstance(value, str) else json.dumps(value)
            answer = client.post("/predict", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 200, (kind, answer.text)
            assert not Answer.model_validate(answer.json()).refused
            tried += 1
    assert tried == 2


def test_answers_are_as_the_document_says(client, document):
    example = document["components"]["requestBodies"]["Ecg"]["content"]["application/json"]["examples"]["one"]["value"]
    Answers.model_validate(client.post("/predict", json={"records": [example, {}]}).json())
    Error.model_validate(client.post("/predict", json={**example, "leads": ["V1"] * 8}).json())
    refused = client.post("/predict", json={**example, "fs": 40}).json()
    assert Error.model_validate(refused).refused
    body, headers = form(("a.csv", b""))
    Error.model_validate(client.post("/predict", content=body, headers=headers).json())


def test_the_document_names_every_route_and_every_content_type(document):
    assert set(document["paths"]) == {"/predict", "/explain", "/models", "/health", "/ready", "/metrics"}
    kinds = document["components"]["requestBodies"]["Ecg"]["content"]
    assert set(kinds) == {"application/json", "application/octet-stream", "text/csv", "multipart/form-data"}
    assert "application/fhir+json" in document["paths"]["/predict"]["post"]["responses"]["200"]["content"]


schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(Settings(concurrency=100)))
# What makes samples an ECG is no matter of a schema, so those that ask for valid data to be accepted are left out.
CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


@schema.exclude(path="/explain").parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_answered_as_the_document_says(case, client):
    case.call_and_validate(session=client, checks=CHECKS)
