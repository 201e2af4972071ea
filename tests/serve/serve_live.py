"""What the tests of the API share: a server on real sockets in a thread, and requests sent byte by byte."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

from einthoven.serve.answers import examples
from einthoven.serve.app import create_app
from einthoven.serve.settings import Settings

EXAMPLE = examples()["application/json"]
TABLE = examples()["text/csv"]
BODY = json.dumps(EXAMPLE).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass
class Live:
    """A running server."""

    port: int
    server: uvicorn.Server

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, method="GET", path="/health", body=None, headers=None):
        """Status, body and headers of one request on a connection of its own."""
        return ask(self.port, method, path, body, headers)

    def lives(self) -> bool:
        """Whether it still answers, and still judges."""
        return (
            self.ask()[0] == 200 and self.ask("POST", "/predict", BODY, {"Content-Type": "application/json"})[0] == 200
        )


def ask(port, method="GET", path="/health", body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        told = json.loads(content) if "json" in answer.headers.get("content-type", "") else content.decode()
        return answer.status, told, answer.headers
    finally:
        connection.close()


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form with files."""
    parts = [
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--limit--\r\n", {"Content-Type": "multipart/form-data; boundary=limit"}


@contextlib.contextmanager
def running(**settings) -> Iterator[Live]:
    config = uvicorn.Config(create_app(Settings(**settings)), port=0, log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Live(server.servers[0].sockets[0].getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()
