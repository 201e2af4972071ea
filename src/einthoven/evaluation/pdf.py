"""A report as PDF, printed by whatever Chromium is installed: the page's own print styles decide how it looks."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from einthoven.errors import EinthovenError
from einthoven.files import atomic_write

__all__ = ["find_browser", "write_pdf"]

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 120.0


def find_browser() -> str:
    """Return the path of a Chromium or Chrome.

    Raises:
        EinthovenError: there is none.
    """
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise EinthovenError(
            f"a PDF needs a browser that prints without a window, and none of {', '.join(_BROWSERS)} is on the PATH: "
            "install Chromium (apt install chromium), or open the report and print it"
        )
    return found


def write_pdf(html_path: Path, pdf_path: Path, timeout_s: float = _SECONDS) -> None:
    """Print a page to PDF, whole or not at all.

    Args:
        html_path: the report.
        pdf_path: the file to write.
        timeout_s: give up after so long.

    Raises:
        EinthovenError: no page, no browser, or the browser fails.
    """
    if not html_path.is_file():
        raise EinthovenError(f"{html_path}: no report to print; judge a model first")
    browser = find_browser()
    # A profile of its own: a browser that is open would take the job over, and print nothing.
    with tempfile.TemporaryDirectory() as profile, atomic_write(pdf_path) as temporary:
        printed = Path(profile) / "report.pdf"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={profile}", f"--print-to-pdf={printed}", html_path.resolve().as_uri()]
        said = _run(command, timeout_s)
        if not printed.is_file() or not printed.read_bytes().startswith(b"%PDF"):
            raise EinthovenError(f"{browser} printed no PDF of {html_path}: {said or 'it said nothing'}")
        shutil.copyfile(printed, temporary)


def _run(command: list[str], timeout_s: float) -> str:
    """Run it, and return the last line that it complains with."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise EinthovenError(f"{command[0]} did not finish printing within {timeout_s:g} s") from None
    except OSError as error:
        raise EinthovenError(f"{command[0]} cannot be run: {error.strerror}") from None
    return (done.stderr.strip().splitlines() or [""])[-1]
