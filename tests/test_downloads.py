"""A real HTTP server on the loopback that misbehaves as told; what counts is what is on disk afterwards."""

import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("urllib3")

from einthoven.downloads import DownloadError, Patience, Progress, Source, download, find_source, list_sources
from einthoven.downloads.client import Client, StoppedError, _retry_after
from einthoven.downloads.parallel import in_parallel
from einthoven.downloads.sources import read_list

QUICK = Patience(attempts=3, wrong=3, first_wait_s=0.01, connect_s=2.0, read_s=2.0)


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    status: int
    sent: int = 0


class Shop(http.server.ThreadingHTTPServer):
    """Serves ``files``; ``tricks[path]`` holds what each next GET of a path does instead, ``always[path]`` every GET."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.tricks, self.always, self.requests = {}, defaultdict(list), {}, []
        self.slow_s, self.on_head = 0.0, {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def publish(self, files):
        self.files |= files
        listed = {path: data for path, data in self.files.items() if path != "SHA256SUMS.txt"}
        self.files["SHA256SUMS.txt"] = "".join(
            f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in listed.items()
        ).encode()

    def gets(self, path=None):
        return [r for r in self.requests if r.method == "GET" and path in (None, r.path)]

    def sent(self, path=None):
        return sum(r.sent for r in self.gets(path))

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(self.server.on_head)

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).lstrip("/")
        tricks = self.server.tricks[path]
        self._answer(tricks.pop(0) if tricks else self.server.always.get(path, {}))

    def _answer(self, trick):
        path = unquote(urlsplit(self.path).path).lstrip("/")
        data = trick.get("body", self.server.files.get(path))
        status = trick.get("status", 404 if data is None else 200)
        headers = dict(trick.get("headers", {}))
        asked, start = self.headers.get("Range"), 0
        if status == 200:
            tag = f'"{hashlib.md5(data).hexdigest()}"'
            if trick.get("tagged", True):
                headers["ETag"] = tag
            fresh = self.headers.get("If-Range", tag) != tag and not trick.get("ignore_if_range")
            if asked and not fresh and not trick.get("ignore_range"):
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                status = 206 if start < len(data) else 416
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start : trick.get("cut")] if status in (200, 206) else b""
        request = Request(self.command, path, asked, status)
        self.server.requests.append(request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self._send(body, trick, request)

    def _send(self, body, trick, request):
        stop = trick.get("drop_after", len(body))
        while request.sent < stop:
            piece = body[request.sent : min(request.sent + 65536, stop)]
            request.sent += len(piece)  # before the client can see it, so that a test can count at once
            try:
                self.wfile.write(piece)
            except ConnectionError:
                break
            time.sleep(self.server.slow_s)
        if stop < len(body):
            self.wfile.flush()
            time.sleep(trick.get("hang_s", 0))
            self.close_connection = True


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def shop():
    server = Shop()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def data(n, seed=0):
    return random.Random(seed).randbytes(n)


def corpus(n_files=6, size=3000):
    files = {f"training/g{i % 2}/A{i:04d}.mat": data(size + i, i) for i in range(n_files)}
    return files | {"RECORDS": b"A0000\n", "with space & plus+.txt": b"x" * 50, "empty.txt": b""}


def get(shop, dest, **options):
    return download("mitdb", dest, mirror=shop.url, **{"patience": QUICK} | options)


def on_disk(dest):
    """Every file under its final name, without the download's own."""
    own = {".einthoven-download", "SHA256SUMS.txt"}
    found = {str(p.relative_to(dest)): p for p in dest.rglob("*") if p.is_file()}
    return {
        name: p.read_bytes() for name, p in found.items() if name not in own and not name.endswith((".part", ".tag"))
    }


def leftovers(dest):
    return [p.name for p in dest.rglob("*") if p.name.endswith((".part", ".tag"))]


def published(shop):
    return {path: body for path, body in shop.files.items() if path != "SHA256SUMS.txt"}


def test_everything_arrives_verified_with_normal_modes_and_the_second_run_sends_no_request(shop, tmp_path):
    shop.publish(corpus())
    done = get(shop, tmp_path / "d")
    assert on_disk(tmp_path / "d") == published(shop)
    assert leftovers(tmp_path / "d") == []
    assert (done.fetched, done.skipped, done.bytes) == (9, 0, sum(map(len, published(shop).values())))
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "d").rglob("*.mat")} == {0o644}
    before = len(shop.requests)
    again = get(shop, tmp_path / "d")
    assert (again.fetched, again.skipped, again.bytes) == (0, 9, 0)
    assert len(shop.requests) == before


def test_only_and_part_select_files(shop, tmp_path):
    shop.publish(corpus())
    get(shop, tmp_path / "a", only="training/g1/*")
    assert set(on_disk(tmp_path / "a")) == {f"training/g1/A000{i}.mat" for i in (1, 3, 5)}
    with pytest.raises(DownloadError, match="matches none of the 9 files"):
        get(shop, tmp_path / "b", only="*.xml")
    shop.files.clear()
    shop.publish({"ptbxl_database.csv": b"t", "records100/1.dat": b"lo", "records500/1.dat": b"high"})
    for part, kept in (("100hz", "records100/1.dat"), ("500hz", "records500/1.dat")):
        download("ptb-xl", tmp_path / part, part=part, mirror=shop.url, patience=QUICK)
        assert set(on_disk(tmp_path / part)) == {"ptbxl_database.csv", kept}
    with pytest.raises(DownloadError, match="has no part '100'.*did you mean '100hz'.*all, 100hz, 500hz"):
        download("ptb-xl", tmp_path / "c", part="100")


def test_a_dropped_connection_is_resumed_without_sending_a_byte_twice(shop, tmp_path):
    shop.publish({"big.dat": data(1_000_000)})
    shop.tricks["big.dat"] = [{"drop_after": 300_000}, {"drop_after": 400_000}]
    done = get(shop, tmp_path)
    assert on_disk(tmp_path) == published(shop)
    ranges = [r.range for r in shop.gets("big.dat")]
    assert ranges == [None, "bytes=300000-", "bytes=700000-"]
    assert shop.sent("big.dat") == done.bytes == 1_000_000


def test_a_long_file_over_a_poor_line_arrives_although_it_fails_more_often_than_the_attempts(shop, tmp_path):
    shop.publish({"big.dat": data(1_000_000)})
    shop.always["big.dat"] = {"drop_after": 100_000}
    get(shop, tmp_path)
    assert len(shop.gets("big.dat")) == 10 > QUICK.attempts
    assert on_disk(tmp_path) == published(shop)


def test_a_server_that_ignores_ranges_restarts_the_file(shop, tmp_path):
    shop.publish({"big.dat": data(400_000)})
    shop.tricks["big.dat"] = [{"drop_after": 300_000}, {"ignore_range": True}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == published(shop)
    assert [r.status for r in shop.gets("big.dat")] == [200, 200]


def test_a_server_that_ignores_ranges_and_always_drops_is_given_up_and_nothing_is_named(shop, tmp_path):
    shop.publish({"big.dat": data(400_000)})
    shop.always["big.dat"] = {"drop_after": 300_000, "ignore_range": True}
    with pytest.raises(DownloadError, match="broke off.*3 times; the same command continues later.*0 of 1 files"):
        get(shop, tmp_path)
    assert on_disk(tmp_path) == {}


def test_a_wrong_byte_once_is_fetched_anew_and_never_has_the_name(shop, tmp_path):
    right = data(50_000)
    wrong = right[:777] + bytes([right[777] ^ 1]) + right[778:]
    shop.publish({"a.dat": right})
    shop.tricks["a.dat"] = [{"body": wrong}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == {"a.dat": right}
    assert len(shop.gets("a.dat")) == 2


def test_a_wrong_byte_always_is_an_error_that_names_the_file_while_the_others_arrive(shop, tmp_path):
    shop.publish(corpus())
    path = "training/g0/A0002.mat"
    shop.always[path] = {"body": b"!" + shop.files[path][1:]}
    with pytest.raises(
        DownloadError, match=r"A0002.mat: checksum \w+\.\.\. is not \w+\.\.\. as published, 3 times; .*8 of 9"
    ):
        get(shop, tmp_path)
    assert on_disk(tmp_path) == {k: v for k, v in published(shop).items() if k != path}
    assert leftovers(tmp_path) == []
    shop.always.clear()
    assert get(shop, tmp_path).fetched == 1
    assert on_disk(tmp_path) == published(shop)


def test_a_truncated_content_length_is_found_by_the_checksum(shop, tmp_path):
    shop.publish({"a.dat": data(50_000)})
    shop.tricks["a.dat"] = [{"cut": 20_000}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == published(shop)
    shop.always["a.dat"] = {"cut": 20_000}
    with pytest.raises(DownloadError, match="checksum"):
        get(shop, tmp_path / "other")
    assert on_disk(tmp_path / "other") == {}


def test_a_file_that_changes_between_attempts_is_restarted_by_its_etag(shop, tmp_path):
    old, new = data(300_000, 1), data(300_000, 2)
    shop.publish({"a.dat": new})
    shop.tricks["a.dat"] = [{"body": old, "drop_after": 200_000}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == {"a.dat": new}
    assert [(r.status, r.sent) for r in shop.gets("a.dat")] == [(200, 200_000), (200, 300_000)]


def test_a_changed_file_is_noticed_where_the_server_ignores_if_range(shop, tmp_path):
    old, new = data(300_000, 1), data(300_000, 2)
    shop.publish({"a.dat": new})
    shop.tricks["a.dat"] = [{"body": old, "drop_after": 200_000}, {"ignore_if_range": True}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == {"a.dat": new}
    assert [r.range for r in shop.gets("a.dat")] == [None, "bytes=200000-", None]


def test_a_changed_file_without_any_validator_is_found_by_the_checksum(shop, tmp_path):
    old, new = data(300_000, 1), data(300_000, 2)
    shop.publish({"a.dat": new})
    shop.tricks["a.dat"] = [{"body": old, "drop_after": 200_000, "tagged": False}, {"tagged": False}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == {"a.dat": new}
    assert [r.range for r in shop.gets("a.dat")] == [None, "bytes=200000-", None]


def test_an_unfinished_file_that_is_whole_is_named_and_one_that_is_too_long_is_fetched_anew(shop, tmp_path):
    shop.publish({"whole.dat": data(9000), "long.dat": data(9000, 1)})
    (tmp_path / "whole.dat.part").write_bytes(shop.files["whole.dat"])
    (tmp_path / "long.dat.part").write_bytes(shop.files["long.dat"] + b"more")
    get(shop, tmp_path)
    assert on_disk(tmp_path) == published(shop)
    assert shop.sent("whole.dat") == 0
    assert shop.sent("long.dat") == 9000


def test_retry_after_is_honoured_and_too_long_a_wait_is_an_error(shop, tmp_path):
    shop.publish({"a.dat": data(100)})
    shop.tricks["a.dat"] = [{"status": 503, "headers": {"Retry-After": "1"}}]
    began = time.monotonic()
    get(shop, tmp_path)
    assert 1.0 <= time.monotonic() - began < 3.0
    assert on_disk(tmp_path) == published(shop)
    shop.tricks["a.dat"] = [{"status": 429, "headers": {"Retry-After": "9999"}}]
    with pytest.raises(DownloadError, match="429 Too Many Requests, and asks to wait 9999 s"):
        get(shop, tmp_path / "other")


def test_retry_after_may_be_a_date_or_nonsense():
    assert 8 < _retry_after(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 10))) <= 10
    assert _retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
    assert _retry_after("soon") is None
    assert _retry_after(None) is None


def test_errors_of_the_server_are_tried_again_and_given_up_after_the_attempts(shop, tmp_path):
    shop.publish({"a.dat": data(100)})
    shop.tricks["a.dat"] = [{"status": 500}, {"status": 502}]
    get(shop, tmp_path)
    assert on_disk(tmp_path) == published(shop)
    shop.always["a.dat"] = {"status": 503}
    with pytest.raises(DownloadError, match="the server answers 503 Service Unavailable, 3 times"):
        get(shop, tmp_path / "other")


@pytest.mark.parametrize("status", [403, 404, 401])
def test_a_refusal_is_named_at_once_and_the_others_still_arrive(shop, tmp_path, status):
    shop.publish({"a.dat": data(100), "b.dat": data(100, 1)})
    shop.always["a.dat"] = {"status": status}
    with pytest.raises(DownloadError, match=f"a.dat: the server answers {status} .*1 of 2 files are here"):
        get(shop, tmp_path)
    assert len(shop.gets("a.dat")) == 1
    assert set(on_disk(tmp_path)) == {"b.dat"}


def test_ten_refusals_end_the_download_early(shop, tmp_path):
    shop.publish({f"{i:03d}.dat": data(10, i) for i in range(200)})
    for path in published(shop):
        shop.always[path] = {"status": 404}
    with pytest.raises(DownloadError, match=r"404 Not Found \(and 9 more files\); 0 of 200 files are here"):
        get(shop, tmp_path, workers=2)
    assert len(shop.gets()) < 20


def test_a_server_that_falls_silent_is_left_after_the_timeout_and_resumed(shop, tmp_path):
    shop.publish({"a.dat": data(400_000)})
    shop.tricks["a.dat"] = [{"drop_after": 131_072, "hang_s": 1.0}]
    get(shop, tmp_path, patience=Patience(attempts=2, first_wait_s=0.01, read_s=0.3))
    assert on_disk(tmp_path) == published(shop)
    assert [r.range for r in shop.gets("a.dat")] == [None, "bytes=131072-"]


def test_redirects_are_followed_but_not_in_circles(shop, tmp_path):
    shop.publish({"a.dat": data(100)})
    shop.tricks["a.dat"] = [{"status": 302, "headers": {"Location": "/elsewhere"}}]
    shop.always["elsewhere"] = {"body": shop.files["a.dat"]}
    get(shop, tmp_path)
    assert on_disk(tmp_path) == published(shop)
    shop.always["a.dat"] = {"status": 301, "headers": {"Location": "/a.dat"}}
    with pytest.raises(DownloadError, match="more than 5 redirects"):
        get(shop, tmp_path / "other")


def test_a_redirect_from_https_to_http_is_refused(monkeypatch, tmp_path):
    class Answer:
        status, headers, length_remaining = 302, {"Location": "http://elsewhere.example/a.dat"}, 0
        close = release_conn = staticmethod(lambda: None)

    class Pool:
        request = staticmethod(lambda *_, **__: Answer())

    client = Client(1, QUICK, threading.Event())
    monkeypatch.setattr(client, "_pool", lambda url: Pool())
    with pytest.raises(DownloadError, match="redirects to http://elsewhere.example/a.dat, which is not encrypted"):
        client.receive("https://physionet.org/a.dat", tmp_path / "a.part", lambda _: None)


@pytest.mark.parametrize(
    "path",
    [
        "../out.dat",
        "/etc/out.dat",
        "a/../../out.dat",
        "a\\..\\out.dat",
        "C:/out.dat",
        "./a",
        ".einthoven-download",
        "a//b",
    ],
)
def test_a_path_that_could_leave_the_folder_is_refused_before_any_file(shop, tmp_path, path):
    dest = tmp_path / "in" / "dest"
    body = data(10)
    shop.publish({"good.dat": body})
    shop.files["SHA256SUMS.txt"] += f"{hashlib.sha256(body).hexdigest()} {path}\n".encode()
    with pytest.raises(DownloadError, match="is refused: it could leave the folder"):
        get(shop, dest)
    assert on_disk(tmp_path) == {"in/dest/.einthoven-download": (dest / ".einthoven-download").read_bytes()}
    assert len(shop.gets()) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>log in</html>\n", "line 1: '<html>log in</html>' is not '<sha256> <path>'"),
        (b"", "an empty list"),
        (b"\xff\xfe\x00", "it is not text"),
        (f"{'0' * 64} a\n{'1' * 64} a\n".encode(), "names a file twice"),
        (f"{'0' * 64} a\n{'1' * 64} a.part\n".encode(), "would be the unfinished a"),
    ],
)
def test_what_is_no_list_of_checksums_is_not_kept(shop, tmp_path, body, message):
    shop.files["SHA256SUMS.txt"] = body
    with pytest.raises(DownloadError) as error:
        get(shop, tmp_path)
    assert message in str(error.value)
    assert not (tmp_path / "SHA256SUMS.txt").exists()


def test_lists_written_by_sha256sum_are_read():
    found = read_list("physionet", f"{'A' * 64}  one.dat\n\n{'b' * 64} *b c.dat\n", "https://h/x/SHA256SUMS.txt")
    assert [(f.path, f.url, f.digest[0]) for f in found] == [
        ("one.dat", "https://h/x/one.dat", "a"),
        ("b c.dat", "https://h/x/b%20c.dat", "b"),
    ]


def test_a_verified_list_is_kept_so_that_a_mirror_cannot_change_what_is_right(shop, tmp_path):
    shop.publish(corpus())
    get(shop, tmp_path, only="RECORDS")
    shop.publish({"training/g0/A0000.mat": b"altered"})
    with pytest.raises(DownloadError, match="A0000.mat: checksum"):
        get(shop, tmp_path)
    assert len(on_disk(tmp_path)) == 8


def test_a_file_altered_on_disk_is_fetched_again_and_one_with_its_time_restored_by_verify(shop, tmp_path):
    shop.publish(corpus())
    get(shop, tmp_path)
    path = tmp_path / "training/g0/A0000.mat"
    path.write_bytes(b"short")
    assert get(shop, tmp_path).fetched == 1
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert get(shop, tmp_path).fetched == 0
    done = get(shop, tmp_path, verify=True)
    assert (done.fetched, done.skipped) == (1, 8)
    assert on_disk(tmp_path) == published(shop)
    path.unlink()
    assert get(shop, tmp_path).fetched == 1


def test_a_list_altered_on_disk_is_fetched_again_by_verify(shop, tmp_path):
    shop.publish(corpus())
    get(shop, tmp_path)
    path = tmp_path / "SHA256SUMS.txt"
    before, right = path.stat(), path.read_bytes()
    path.write_bytes(b"0" + right[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    get(shop, tmp_path, verify=True)
    assert path.read_bytes() == right


def test_files_that_were_fetched_by_other_means_are_taken_over_where_they_are_right(shop, tmp_path):
    shop.publish({"right.dat": data(1000), "wrong.dat": data(1000, 1)})
    (tmp_path / "right.dat").write_bytes(shop.files["right.dat"])
    (tmp_path / "wrong.dat").write_bytes(b"0" * 1000)
    done = get(shop, tmp_path)
    assert (done.fetched, done.skipped) == (1, 1)
    assert shop.gets("right.dat") == []
    assert on_disk(tmp_path) == published(shop)


def test_a_ledger_cut_off_in_a_line_costs_one_hash_and_no_byte(shop, tmp_path):
    shop.publish(corpus())
    get(shop, tmp_path)
    ledger = tmp_path / ".einthoven-download"
    ledger.write_bytes(ledger.read_bytes()[:-5])
    before = shop.sent()
    assert get(shop, tmp_path).fetched == 0
    assert shop.sent() == before
    ledger.write_bytes(ledger.read_bytes().replace(b"\t", b" ", 1) + b"nonsense\n")
    assert get(shop, tmp_path).fetched == 0


def test_a_folder_that_holds_another_corpus_is_refused(shop, tmp_path):
    shop.publish(corpus())
    get(shop, tmp_path)
    with pytest.raises(DownloadError, match="holds a download of mitdb 1.0.0; give ludb 1.0.1 a folder of its own"):
        download("ludb", tmp_path, mirror=shop.url, patience=QUICK)


def test_too_little_room_is_refused_before_the_first_file(shop, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    shop.publish({"a.dat": data(600_000), "b.dat": data(600_000, 1)})
    with pytest.raises(DownloadError, match=r"needs about 1.2 MB more, and .* has 1.0 MB free; make room"):
        get(shop, tmp_path / "exact")
    assert [r.path for r in shop.gets()] == ["SHA256SUMS.txt"]
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.dat.part").write_bytes(shop.files["a.dat"][:500_000])
    assert get(shop, tmp_path / "part").fetched == 2  # what is here already needs no room
    shop.publish({f"{i}.dat": b"1" for i in range(100)})
    with pytest.raises(DownloadError, match=r"mitdb 1.0.0 needs about 0.11 GB more"):
        get(shop, tmp_path / "table")
    assert get(shop, tmp_path / "sample", only="??.dat").fetched == 90


def test_the_table_tells_the_size_where_the_server_does_not(shop, tmp_path, monkeypatch):
    shop.publish({"a.dat": data(100), "b.dat": data(100, 1)})
    shop.on_head = {"status": 405}
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000_000))
    with pytest.raises(DownloadError, match=r"needs about 0.11 GB more, and .* has 0.10 GB free"):
        get(shop, tmp_path)
    assert get(shop, tmp_path, only="a.dat").fetched == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(shop, tmp_path):
    shop.publish({"a/b.dat": data(100), "c.dat": data(100)})
    (tmp_path / "a").write_text("a file where a folder is needed")
    with pytest.raises(DownloadError, match="cannot write .*; what is verified stays, and the same command continues"):
        get(shop, tmp_path)


def test_two_downloads_into_one_folder_at_once_are_refused_and_the_first_is_whole(shop, tmp_path):
    shop.publish(corpus(size=200_000))
    shop.slow_s = 0.05
    errors = []

    def second():
        try:
            get(shop, tmp_path)
        except DownloadError as error:
            errors.append(str(error))

    def at(progress):
        if not errors:
            second()

    get(shop, tmp_path, progress=at)
    assert "another download works in" in errors[0]
    assert on_disk(tmp_path) == published(shop)


def test_progress_counts_files_and_bytes_towards_what_is_expected(shop, tmp_path):
    shop.publish(corpus(size=100_000))
    shop.slow_s = 0.05
    seen: list[Progress] = []
    get(shop, tmp_path, progress=seen.append, workers=2)
    total = sum(map(len, published(shop).values()))
    assert [p.bytes for p in seen] == sorted(p.bytes for p in seen)
    assert 0 < seen[-1].bytes <= total
    assert {(p.files_total, p.bytes_expected) for p in seen} == {(9, total)}


def test_files_are_fetched_in_parallel(shop, tmp_path):
    shop.publish({f"{i}.dat": data(65_536, i) for i in range(16)})
    shop.slow_s = 0.05
    began = time.monotonic()
    get(shop, tmp_path, workers=8)
    assert time.monotonic() - began < 16 * 0.05 * 0.8


def test_a_proxy_of_the_environment_is_used(shop, tmp_path, monkeypatch):
    shop.publish({"a.dat": data(100)})
    shop.files = {f"corpus/{path}": body for path, body in shop.files.items()}
    monkeypatch.setenv("http_proxy", shop.url)
    download("mitdb", tmp_path, mirror="http://nowhere.example/corpus", patience=QUICK)
    assert on_disk(tmp_path) == {"a.dat": data(100)}


def test_a_host_that_does_not_speak_tls_or_vanishes_is_named(shop, tmp_path):
    with pytest.raises(DownloadError, match="SHA256SUMS.txt: .*SSL"):
        download("mitdb", tmp_path, mirror=shop.url.replace("http:", "https:"), patience=QUICK)
    client = Client(1, QUICK, threading.Event())
    shop.publish({"a.dat": data(100)})
    client.receive(shop.url + "a.dat", tmp_path / "a.part", lambda _: None)
    with pytest.raises(DownloadError, match="the connection failed .*3 times"):
        client.receive("http://127.0.0.1:9/b.dat", tmp_path / "b.part", lambda _: None)


def test_a_stop_ends_the_wait_between_attempts(shop, tmp_path):
    shop.always["a.dat"] = {"status": 503, "headers": {"Retry-After": "100"}}
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        Client(1, QUICK, stop).receive(shop.url + "a.dat", tmp_path / "a.part", lambda _: None)
    assert time.monotonic() - began < 2


def test_a_defect_in_a_thread_is_not_swallowed():
    stop = threading.Event()
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda n: 1 // n, [1, 0, 2], 1, stop))
    assert stop.is_set()


def test_figshare_lists_give_size_and_md5(shop, tmp_path):
    files = {"metadata.csv": b"m" * 40, "records.tar.gz": data(5000), "code.csv": b"c", "rule.pdf": b"r"}
    for article, (name, body) in zip(find_source("sph").articles, files.items(), strict=True):
        shop.files[f"dl/{article}"] = body
        row = {"name": name, "size": len(body), "computed_md5": hashlib.md5(body).hexdigest()}
        row["download_url"] = f"{shop.url}dl/{article}"
        shop.files[f"articles/{article}/files"] = json.dumps([row]).encode()
    done = download("sph", tmp_path, mirror=shop.url, patience=QUICK)
    assert done.fetched == 4
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert not [r for r in shop.requests if r.method == "HEAD"]
    record = find_source("sph").articles[1]
    shop.always[f"dl/{record}"] = {"body": b"0" * 5000}
    (tmp_path / "records.tar.gz").unlink()
    with pytest.raises(DownloadError, match="checksum"):
        download("sph", tmp_path, mirror=shop.url, patience=QUICK)
    assert not (tmp_path / "records.tar.gz").exists()
    for answer in (b'{"message": "no"}', b'[{"name": "x", "computed_md5": "", "size": 1}]', b"<html>"):
        shop.files[f"articles/{record}/files"] = answer
        with pytest.raises(DownloadError, match="not figshare's list of files"):
            download("sph", tmp_path / "other", mirror=shop.url, patience=QUICK)


@pytest.mark.parametrize("mirror", ["ftp://host/x/", "/a/folder", "https:///x"])
def test_a_mirror_that_is_no_url_is_refused(tmp_path, mirror):
    with pytest.raises(DownloadError, match="a URL is wanted"):
        download("mitdb", tmp_path, mirror=mirror)


def test_an_unknown_name_and_no_workers_are_refused(tmp_path):
    with pytest.raises(DownloadError, match=r"cannot download 'cinc21' \(did you mean 'cinc2021'\?\)"):
        download("cinc21", tmp_path)
    with pytest.raises(DownloadError, match="at least one is needed"):
        download("mitdb", tmp_path, workers=0)


def test_without_urllib3_the_extra_is_named(monkeypatch, tmp_path):
    from einthoven.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(MissingExtraError, match=r"downloading needs .*einthoven\[download\]"):
        download("mitdb", tmp_path)


@pytest.mark.parametrize("source", list_sources().values(), ids=lambda source: source.name)
def test_every_source_is_complete_and_encrypted(source: Source):
    assert source.base.startswith("https://")
    assert source.base.endswith("/")
    assert source.homepage.startswith("https://")
    assert "doi.org/10." in source.citation
    assert source.kind in ("physionet", "figshare")
    assert all(url.startswith(source.base) for url in source.lists(source.base).values())
    assert all(1e6 < part.n_bytes <= source.parts["all"].n_bytes for part in source.parts.values())
    if source.kind == "physionet":
        assert source.version in source.base
        assert source.homepage == source.base.replace("/files/", "/content/")


# ---- the command line


def command(*arguments):
    return [sys.executable, "-m", "einthoven.cli", "download", *map(str, arguments)]


def run(*arguments, **options):
    return subprocess.run(command(*arguments), capture_output=True, text=True, **options)


def test_a_killed_download_is_continued_and_sends_no_byte_twice(shop, tmp_path):
    dest = tmp_path / "d"
    shop.publish({f"{i}.dat": data(700_000, i) for i in range(6)})
    shop.slow_s = 0.05
    process = subprocess.Popen(command("mitdb", dest, "--mirror", shop.url, "--workers", 2))
    while process.poll() is None and len(on_disk(dest)) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = on_disk(dest)
    assert 2 <= len(held) < 6
    assert all(held[name] == shop.files[name] for name in held)
    in_parts = sum(p.stat().st_size for p in dest.glob("*.part"))
    time.sleep(0.3)  # the server notices the broken connections
    shop.slow_s = 0.0
    before = shop.sent()
    done = run("mitdb", dest, "--mirror", shop.url)
    assert done.returncode == 0, done.stderr
    assert on_disk(dest) == published(shop)
    assert leftovers(dest) == []
    assert shop.sent() - before == 6 * 700_000 - sum(map(len, held.values())) - in_parts
    assert shop.gets("SHA256SUMS.txt")[1:] == []


def test_ctrl_c_keeps_what_is_verified_and_says_how_to_go_on(shop, tmp_path):
    shop.publish({f"{i}.dat": data(700_000, i) for i in range(6)})
    shop.slow_s = 0.05
    process = subprocess.Popen(
        command("mitdb", tmp_path / "d", "--mirror", shop.url, "--workers", 2), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and len(on_disk(tmp_path / "d")) < 1:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate()
    assert time.monotonic() - began < 3
    assert process.returncode == 130
    assert err == "error: interrupted; the same command continues where it stopped\n"
    held = on_disk(tmp_path / "d")
    assert held
    assert all(held[name] == shop.files[name] for name in held)


def test_a_disk_that_refuses_more_is_one_sentence_and_the_download_is_continued_later(shop, tmp_path):
    resource = pytest.importorskip("resource")
    shop.publish({"big.dat": data(400_000)})

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    stderr = refused("mitdb", tmp_path, "--mirror", shop.url, preexec_fn=limit)
    assert "cannot write to the disk: File too large; what is verified stays" in stderr
    assert on_disk(tmp_path) == {}
    held = (tmp_path / "big.dat.part").stat().st_size
    assert 0 < held <= 200_000
    assert run("mitdb", tmp_path, "--mirror", shop.url).returncode == 0
    assert on_disk(tmp_path) == published(shop)
    assert shop.gets("big.dat")[-1].sent == 400_000 - held


def test_the_summary_names_licence_citation_and_the_next_command(shop, tmp_path):
    shop.publish({"ptbxl_database.csv": b"t", "records500/1.dat": b"high"})
    done = run("ptb-xl", tmp_path / "d", "--part", "500hz", "--mirror", shop.url)
    assert done.returncode == 0, done.stderr
    assert "2 files fetched (5 bytes in " in done.stdout
    assert "licence CC BY 4.0; https://physionet.org/content/ptb-xl/1.0.3/" in done.stdout
    assert "cite    Wagner et al. 2020" in done.stdout
    assert f"next    einthoven prepare ptb-xl {tmp_path / 'd'} --fs 500\n" in done.stdout
    again = run("ptb-xl", tmp_path / "d", "--part", "500hz", "--mirror", shop.url)
    assert "0 files fetched (0 bytes in " in again.stdout
    assert "2 verified before" in again.stdout


def test_the_list_shows_every_source():
    done = run("--list")
    assert done.returncode == 0
    assert all(name in done.stdout for name in list_sources())
    assert "--part 100hz" in done.stdout


def refused(*arguments, **options):
    done = run(*arguments, **options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1
    return done.stderr


def test_bad_requests_are_one_sentence_with_exit_code_2(tmp_path):
    assert "cannot download 'ptbxl' (did you mean 'ptb-xl'?); known are ptb-xl" in refused("ptbxl")
    assert "download --list" in refused()
    assert "127.0.0.1 cannot be reached (Failed to establish a new connection" in refused(
        "mitdb", tmp_path / "d", "--mirror", "http://127.0.0.1:9/"
    )
    (tmp_path / "file").write_text("")
    assert "cannot write into" in refused("mitdb", tmp_path / "file" / "d", "--mirror", "http://127.0.0.1:9/")


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path, monkeypatch):
    def denied(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(DownloadError, match="cannot write into .*: Permission denied; choose another folder"):
        download("mitdb", tmp_path)
