"""A server on real sockets: limits, wrong uploads, what happens to requests in flight."""

import io
import json
import socket
import threading
import time
import zipfile

import numpy as np
import pytest
from serve_live import BODY, EXAMPLE, HEAD, TABLE, form, running


@pytest.fixture(scope="module")
def live():
    with running(concurrency=2, max_bytes=1 << 20) as live:
        yield live


def begun(live) -> socket.socket:
    """A request that the server waits for the end of."""
    connection = live.connect()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:1000])
    return connection


def until(condition, seconds=20):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def status_of(connection: socket.socket) -> int:
    head = b""
    while b"\r\n" not in head:
        part = connection.recv(65536)
        assert part, head
        head += part
    return int(head.split()[1])


def in_flight(live) -> float:
    lines = live.ask("GET", "/metrics")[1].splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("einthoven_requests_in_flight "))


def test_requests_beyond_the_number_allowed_are_sent_away_and_told_when_to_come_back(live):
    waiting = [begun(live), begun(live)]
    until(lambda: in_flight(live) == 3)
    status, told, headers = live.ask("POST", "/predict", BODY, {"Content-Type": "application/json"})
    assert (status, headers["retry-after"]) == (429, "1")
    assert "busy" in told["error"]
    assert live.ask("GET", "/health")[0] == 200
    for connection in waiting:
        connection.sendall(BODY[1000:])
        assert status_of(connection) == 200
        connection.close()
    assert live.lives()


def test_a_client_that_hangs_up_frees_its_place(live):
    for connection in [begun(live), begun(live)]:
        connection.close()
    until(lambda: in_flight(live) == 1)
    assert live.lives()


def test_a_client_that_does_not_go_on_is_sent_away():
    with running(timeout_s=1.0) as live:
        connection = begun(live)
        assert status_of(connection) == 408
        connection.close()
        assert live.ask()[0] == 200


@pytest.mark.parametrize("declared", [b"Content-Length: 2147483648\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_two_gigabytes_are_refused_before_they_come(live, declared):
    connection = live.connect()
    connection.sendall(HEAD + declared + b"\r\n")
    if b"chunked" in declared:
        try:
            for _ in range(64):
                connection.sendall(b"%x\r\n%s\r\n" % (1 << 16, bytes(1 << 16)))
        except OSError:
            pass  # it has heard enough
        connection.close()
        until(lambda: in_flight(live) == 1)
        assert 'einthoven_requests_total{route="/predict",status="413"}' in live.ask("GET", "/metrics")[1]
    else:
        assert status_of(connection) == 413
        connection.close()
    assert live.lives()


def bomb():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecg.npy", bytes(1 << 25))
    return content.getvalue()


SAMPLES = np.array(EXAMPLE["samples"])
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><RestingECG>&b;</RestingECG>'
MICROVOLTS = json.dumps({**EXAMPLE, "samples": (SAMPLES * 1000).tolist()}).encode()
THREE = json.dumps({**EXAMPLE, "samples": SAMPLES[:3].tolist(), "leads": EXAMPLE["leads"][:3]}).encode()
AS_JSON = {"Content-Type": "application/json"}
WRONG = {
    "an image": (form(("ecg.dcm", b"\x89PNG\r\n\x1a\n" + bytes(999))), "is a picture (PNG)"),
    "an empty file": (form(("ecg.csv", b"")), "the file is empty"),
    "three leads": ((THREE, AS_JSON), "missing leads V2, V3, V4, V5, V6"),
    "microvolts named millivolts": ((MICROVOLTS, AS_JSON), "microvolts read as millivolts?"),
    "a zip bomb": (form(("ecg.npz", bomb())), "far more than an ECG takes"),
    "XML entities": (form(("ecg.xml", ENTITIES)), "entities"),
    "another folder": (form(("../../etc/passwd", b"root")), "passwd: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_upload_gets_a_sentence_and_the_server_lives_on(live, what):
    (body, headers), sentence = WRONG[what]
    status, told, _ = live.ask("POST", "/predict", body, headers)
    assert status == 422
    assert sentence in told["error"]
    assert "/" not in told["error"].split(":")[0]
    assert live.lives()


def test_requests_in_flight_are_finished_when_the_server_ends():
    with running() as live:
        connection = begun(live)
        until(lambda: in_flight(live) == 2)
        live.server.should_exit = True
        until(lambda: not listening(live.port))
        connection.sendall(BODY[1000:])
        assert status_of(connection) == 200
        connection.close()


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_requests_that_wait_together_are_answered_each_with_its_own():
    values = np.linspace(0.5, 1.5, 24)
    with running() as live:
        alone = [live.ask("POST", "/predict", scaled(value), AS_JSON)[1] for value in values]
        together: dict[int, dict] = {}

        def send(k: int) -> None:
            together[k] = live.ask("POST", "/predict", scaled(values[k]), AS_JSON)[1]

        threads = [threading.Thread(target=send, args=(k,)) for k in range(len(values))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for k, own in enumerate(alone):
        assert together[k]["record_id"] == own["record_id"]
        for mine, other in zip(together[k]["findings"], own["findings"], strict=True):
            assert mine == {**other, "probability": pytest.approx(other["probability"], abs=2e-6)}


def scaled(value: float) -> bytes:
    return json.dumps({**EXAMPLE, "samples": (value * SAMPLES).tolist(), "record_id": f"x{value:.3f}"}).encode()


def test_a_table_comes_as_it_is(live):
    assert live.ask("POST", "/predict", TABLE.encode(), {"Content-Type": "text/csv"})[0] == 200
