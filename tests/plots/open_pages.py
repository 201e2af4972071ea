"""What the tests of pages share: a browser without a network that tells what it did."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Opened:
    """An open page; every fault of its console and every request beside itself is kept."""

    page: object
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """What axe finds that is serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@contextmanager
def opened(browser: object, file: Path, viewport: dict[str, int], ready: str, **options: object) -> Iterator[Opened]:
    """A file in a window of its own, once an element says that it is ready."""
    context = browser.new_context(viewport=viewport, **options)
    page = context.new_page()
    seen = Opened(page)
    page.on("console", lambda message: seen.faults.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector(ready, timeout=30_000)
    seen.requests = [url for url in seen.requests if url != file.as_uri() and not url.startswith("data:")]
    yield seen
    context.close()


def settle(page: object) -> None:
    """Wait until what was asked for is drawn: figures draw once a frame."""
    page.evaluate("async () => { for (let k = 0; k < 4; k++) await new Promise(requestAnimationFrame); }")
