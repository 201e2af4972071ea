"""Addresses where no cluster is: a sentence within seconds, never a wait."""

import socket
import sys
import threading
import time

import pytest

from einthoven.cluster import connect, connection
from einthoven.errors import EinthovenError, MissingExtraError


def refused(address):
    with pytest.raises(EinthovenError) as error, connect(address):
        pass
    return str(error.value)


@pytest.fixture
def server():
    """Start a server on the loopback that sends some bytes to whoever comes, and return its address."""
    listening = []

    def start(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def serve():
            talk, _ = listener.accept()
            if answer is not None:
                talk.sendall(answer)
            listening.append(talk)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in listening:
        each.close()


@pytest.mark.parametrize(
    "address", ["somewhere", "host:port", ":6379", "host:99999", "ray://10.0.0.5:10001", "http://x"]
)
def test_what_is_no_address_is_told_what_one_is(address):
    assert "write HOST:PORT of a cluster that this machine is a node of" in refused(address)


def test_a_closed_port_and_an_unknown_host_are_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert f"--ray 127.0.0.1:{port}: nobody answers there" in refused(f"127.0.0.1:{port}")
    assert "nobody answers there" in refused("no-such-host.invalid:6379")


def test_a_server_that_says_nothing_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(connection, "_ANSWER_S", 0.3)
    began = time.monotonic()
    assert "nobody answers there (no answer)" in refused(server(None))
    assert time.monotonic() - began < 5


def test_a_web_server_is_no_cluster(server):
    assert "something answers there, but it is no Ray cluster" in refused(server(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_a_server_of_the_right_kind_passes(server):
    connection._ask(server(b"\0\0\0\4\0\0\0\0\0"))


def test_a_connection_that_never_ends_is_given_up():
    with pytest.raises(EinthovenError, match=r"--ray a:1: the cluster did not let us in within 0.1 s"):
        connection._within(0.1, "a:1", lambda: time.sleep(3))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.9"), "Version mismatch: The cluster was started with: Ray: 2.9 Install the same"),
        (ConnectionError("Could not find any running Ray instance."), "no Ray cluster runs on this machine; start one"),
        (RuntimeError("cannot find a local Raylet"), r"Ray refuses: cannot find a local Raylet \(this machine must be a node"),
        (SystemExit(15), "Ray refuses: 15"),
    ],
)  # fmt: skip
def test_what_ray_raises_is_told_in_a_sentence(error, message):
    def fail():
        raise error

    with pytest.raises(EinthovenError, match=message):
        connection._within(1, "a:1", fail)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--ray needs optional packages: .*einthoven\[ray\]"), connect("local"):
        pass
