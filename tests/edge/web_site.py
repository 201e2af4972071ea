"""What the tests of the web page share: exported folders, a plain server, and a browser that tells what it did."""

import contextlib
import http.server
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

READY, ANSWERED = "body[data-state=ready]", "body[data-state=done], body[data-state=bad]"


@dataclass
class Server:
    """A static server on a free port; ``asked`` are the method, host and path of every request."""

    port: int
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.port}/{path}"


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """What ``python -m http.server`` does in a folder."""
    server = Server(0)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))

        def log_request(self, *args: object) -> None:
            server.asked.append((self.command, self.headers["Host"], self.path))

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.port = listening.server_address[1]
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield server
        listening.shutdown()


def runtime_or_skip() -> None:
    """ONNX Runtime Web from npm or the cache; skipped by name where the registry is out of reach, except in CI."""
    from einthoven.edge.web_runtime import fetch_runtime
    from einthoven.errors import EinthovenError

    try:
        fetch_runtime(lambda text: None)
    except EinthovenError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@dataclass
class Visit:
    """An open page; every error of its console and every request is kept."""

    page: object
    errors: list[str]
    requests: list[str]

    def show(self, *files: Path) -> "Visit":
        """Choose files and wait for the answer."""
        self.page.evaluate("document.body.dataset.state = 'asked'")
        self.page.set_input_files("#files", [str(file) for file in files])
        return self.answered()

    def answered(self) -> "Visit":
        self.page.wait_for_selector(ANSWERED, timeout=60_000)
        return self

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def findings(self) -> dict[str, tuple[float, str]]:
        """Probability and verdict of every class on the page."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll(".finding")].map((item) => [
                item.dataset.class, Number(item.querySelector("data").value), item.querySelector(".verdict").textContent])"""
        )
        return {name: (probability, verdict) for name, probability, verdict in found}


def visit(browser: object, url: str, state: str = READY, **options: object) -> Visit:
    """Open the page in a browser of its own memory and wait until it is in a state."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    seen = Visit(page, [], [])
    page.on(
        "console", lambda message: seen.errors.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.requests.append(f"{request.method} {request.url}"))
    page.goto(url)
    page.wait_for_selector(state, timeout=60_000)
    return seen
