"""The command itself, with two workers."""

import glob
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from serve_live import BODY, HEAD, ask

TOKEN = "0123456789abcdef"
MINE = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def start(tmp_path, *arguments):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "einthoven.cli", "serve", "--port", str(port), "--json-logs", *arguments]
    known = {**os.environ, "EINTHOVEN_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, stderr=log, env=known)
    ends = time.monotonic() + 120
    while True:
        try:
            if ask(port, path="/ready")[0] == 200:
                return server, port
        except OSError:
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < ends
            time.sleep(0.05)


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def counted(port, route="/predict"):
    text = ask(port, path="/metrics", headers=MINE)[1]
    found = re.search(rf'einthoven_requests_total{{route="{route}",status="200"}} (\S+)', text)
    return float(found[1]) if found else 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_two_workers_count_as_one_load_no_torch_and_finish_what_they_began(tmp_path):
    server, port = start(tmp_path, "--workers", "2")
    try:
        assert ask(port, "POST", "/predict", BODY)[0] == 401
        threads = [
            threading.Thread(target=lambda: [ask(port, "POST", "/predict", BODY, MINE) for _ in range(5)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [counted(port) for _ in range(6)] == [20.0] * 6  # whichever worker is asked
        workers = [pid for pid in children(server.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(workers) == 2
        for pid in (server.pid, *workers):
            assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
        (folder,) = glob.glob(str(tmp_path / "einthoven-serve-*"))
        assert os.stat(folder).st_mode & 0o077 == 0
        assert os.stat(os.path.join(folder, "settings.json")).st_mode & 0o077 == 0

        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            head = HEAD + f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
            connection.sendall(head + BODY[:1000])
            time.sleep(0.5)
            server.send_signal(signal.SIGTERM)
            time.sleep(1)
            connection.sendall(BODY[1000:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert glob.glob(os.path.join(tempfile.gettempdir(), str(tmp_path / "einthoven-*"))) == []
    assert TOKEN not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "no bundle 'nonsense'"),
        (["--host", "192.0.2.1"], "cannot listen at 192.0.2.1"),
        (["--token-file", "/nonexistent"], "the token cannot be read"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(arguments, sentence):
    done = subprocess.run(
        [sys.executable, "-m", "einthoven.cli", "serve", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
