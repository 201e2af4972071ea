"""Printing a page: with the browser that is installed, and by name where it cannot be done."""

import shutil

import pytest

from einthoven.errors import EinthovenError
from einthoven.evaluation import pdf
from einthoven.evaluation.pdf import find_browser, write_pdf


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "a report.html"
    path.write_text("<!DOCTYPE html><title>t</title><p>Macro AUROC 0.938", encoding="utf-8")
    return path


def fake_browser(tmp_path, monkeypatch, script):
    browser = tmp_path / "bin" / "chromium"
    browser.parent.mkdir()
    browser.write_text(f"#!/bin/sh\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: str(browser) if name == "chromium" else None)
    return browser


def test_a_page_becomes_a_pdf(page, tmp_path):
    if not any(map(shutil.which, pdf._BROWSERS)):
        pytest.skip("no Chromium or Chrome is installed")
    write_pdf(page, tmp_path / "out" / "report.pdf")
    assert (tmp_path / "out" / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.pdf"]


def test_without_a_browser_it_is_said_what_to_install(page, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(EinthovenError, match=r"none of chromium, .* is on the PATH: install Chromium"):
        find_browser()
    with pytest.raises(EinthovenError, match="install Chromium"):
        write_pdf(page, tmp_path / "report.pdf")


def test_a_missing_report_is_named(tmp_path):
    with pytest.raises(EinthovenError, match=r"lost\.html: no report to print; judge a model first"):
        write_pdf(tmp_path / "lost.html", tmp_path / "report.pdf")


def test_a_browser_that_fails_is_quoted_and_nothing_is_left(page, tmp_path, monkeypatch):
    fake_browser(tmp_path, monkeypatch, "echo first >&2; echo 'no display' >&2; exit 1")
    with pytest.raises(EinthovenError, match=r"printed no PDF of .*a report\.html: no display"):
        write_pdf(page, tmp_path / "report.pdf")
    assert not list(tmp_path.glob("*.pdf*"))


def test_a_browser_that_writes_something_else_is_refused(page, tmp_path, monkeypatch):
    script = 'for a; do case $a in --print-to-pdf=*) echo hello > "${a#--print-to-pdf=}";; esac; done'
    fake_browser(tmp_path, monkeypatch, script)
    with pytest.raises(EinthovenError, match="printed no PDF of .*: it said nothing"):
        write_pdf(page, tmp_path / "report.pdf")


def test_a_browser_that_hangs_or_cannot_be_run_is_named(page, tmp_path, monkeypatch):
    browser = fake_browser(tmp_path, monkeypatch, "exec sleep 20")
    with pytest.raises(EinthovenError, match=r"did not finish printing within 0\.2 s"):
        write_pdf(page, tmp_path / "report.pdf", timeout_s=0.2)
    browser.chmod(0o644)
    with pytest.raises(EinthovenError, match="cannot be run: Permission denied"):
        write_pdf(page, tmp_path / "report.pdf")
