"""What the browser tests of the Explorer share: a server as its users start it, and pages that tell what they did."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import pytest

# What Streamlit's own frames make the browser say; nothing of it is an error.
HARMLESS = ("Unrecognized feature", "allow-scripts and allow-same-origin")


@dataclass
class Site:
    """A running Explorer: its address, its own temporary folder, and how long it took to answer."""

    port: int
    temporary: Path
    process: subprocess.Popen
    seconds: float
    log: Path

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None and healthy(self.port)


def healthy(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5) as answer,
    ):
        return answer.status == 200
    return False


def write_judged_run(runs: Path) -> Path:
    """A run with a history, the shipped model's judgement, and one mistake as a picture."""
    import json

    from PIL import Image

    from einthoven.bundle import PRETRAINED
    from einthoven.training.recipe import parse_recipe
    from einthoven.training.runs import begin_run

    run = begin_run(runs, parse_recipe("name: mine\ndata: {dataset: x}\n"))
    figures = {"validation_loss": 0.4, "validation_auroc": 0.9, "validation_accuracy": 0.8}
    run.write_history([{"epoch": 1, "train_loss": 0.5, "lr": 0.01, "seconds": 1.0, **figures}])
    about = json.loads((PRETRAINED / "ptbxl-superdiagnostic" / "bundle.json").read_text())
    (run.path / "errors-validation").mkdir()
    Image.new("RGB", (40, 20)).save(run.path / "errors-validation" / "CD-fp-1.png")
    mistake = {
        "file": "errors-validation/CD-fp-1.png",
        "class": "CD",
        "kind": "false positive",
        "caption": "CD: wrong.",
    }
    judged = about["metrics"]["validation"] | {"worst_errors": [mistake]}
    (run.path / "metrics.json").write_text(json.dumps({"validation": judged}))
    run._lock.close()
    return run.path


@contextlib.contextmanager
def explorer(folder: Path, *options: str) -> Iterator[Site]:
    """``einthoven explore`` on a free port, in a folder of its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    temporary, log = folder / "temporary", folder / "log.txt"
    temporary.mkdir(parents=True)
    command = [sys.executable, "-m", "einthoven.cli", "explore", "--no-browser", "--port", str(port), *options]
    environment = {key: value for key, value in os.environ.items() if key != "EINTHOVEN_BUNDLE"}
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env={**environment, "TMPDIR": str(temporary)}, stdout=out, stderr=out
        )
    try:
        while not healthy(port):
            if process.poll() is not None or time.monotonic() - began > 120:
                pytest.fail(f"the Explorer did not start: {log.read_text()}")
            time.sleep(0.1)
        yield Site(port, temporary, process, time.monotonic() - began, log)
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Visit:
    """An open page; what its console complained of, and every host that it asked."""

    page: object
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def settled(self) -> "Visit":
        """Wait until the script has run to its end."""
        self.page.wait_for_timeout(300)
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
        return self

    def text(self) -> str:
        return self.page.inner_text("[data-testid=stMain]")

    def upload(self, *files: tuple[str, bytes]) -> "Visit":
        """Choose files in place of those that are there, and wait for what is said about them."""
        if self.page.locator("input[type=file]").count():
            self.page.get_by_text("A sample", exact=True).click()
            self.page.wait_for_selector("input[type=file]", state="detached", timeout=60_000)
        self.page.get_by_text("Your own files").click()
        self.page.wait_for_selector("input[type=file]", state="attached", timeout=60_000)
        given = [{"name": name, "mimeType": "application/octet-stream", "buffer": content} for name, content in files]
        self.page.set_input_files("input[type=file]", given)
        self.page.get_by_text(files[-1][0]).first.wait_for(timeout=60_000)
        return self.settled()


@contextlib.contextmanager
def visit(browser: object, url: str, **options: object) -> Iterator[Visit]:
    """Open the page in a browser of its own memory and wait until it has been drawn."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    seen = Visit(page)
    page.on(
        "console",
        lambda message: (
            seen.errors.append(message.text)
            if message.type in ("error", "warning") and not any(part in message.text for part in HARMLESS)
            else None
        ),
    )
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.hosts.add(urlparse(request.url).hostname or ""))
    page.goto(url)
    page.wait_for_selector(".ein-heading", timeout=120_000)
    yield seen.settled()
    context.close()
