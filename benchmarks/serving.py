"""Requests a second, latency and failures of ``einthoven serve``, with the load generator that asks.

usage: python benchmarks/serving.py [MODEL=ptbxl-superdiagnostic] [--backend auto] [--fs 100] [--workers 2]
                                    [--connections 8] [--seconds 20] [--long 600]

Each kind of body (float32 samples, JSON, CSV; 10 s of twelve leads at --fs) is sent for --seconds over kept
connections, each asking again when it is answered: requests a second, and the latency under full load. Then --long
seconds of binary samples at a fixed rate, 80 % of the target or of what was reached, whichever is less; here latency
counts from when a request was due, so that a stall is felt by all that were due in it. The generator is a process of
its own on the same machine, so its share of the cores is missing to the server: the processor time of a request is
counted as well, from /proc, over all processes of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from _timing import report

TARGETS = {"binary": 400, "json": 200, "csv": 200}
_TYPES = {"binary": "application/octet-stream", "json": "application/json", "csv": "text/csv"}
_DURATION_S = 10


# The generator


def request_of(kind: str, fs: int) -> bytes:
    """A whole HTTP request with ten seconds of a synthetic twelve-lead ECG."""
    from einthoven.corpora.synthetic import example_record
    from einthoven.signals import conform
    from einthoven.spec import SignalSpec

    record = conform(example_record("CLBBB"), SignalSpec(fs=fs))
    signal_ = np.round(record.signal[:, : _DURATION_S * fs], 3)
    query = ""
    if kind == "binary":
        body, query = signal_.astype("<f4").tobytes(), f"?fs={fs}"
    elif kind == "json":
        samples = [[round(float(value), 3) for value in row] for row in signal_]
        body = json.dumps({"samples": samples, "fs": fs, "leads": record.leads, "unit": "mV"}).encode()
    else:
        head = ",".join(["time [s]", *(f"{lead} [mV]" for lead in record.leads)])
        rows = [f"{k / fs:.4f}," + ",".join(f"{value:.3f}" for value in row) for k, row in enumerate(signal_.T)]
        body = "\n".join([head, *rows]).encode()
    head = f"POST /predict{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {_TYPES[kind]}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Send a request, read its answer to the end, and return the status."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head[9:12])


async def generate(port: int, request: bytes, connections: int, seconds: float, rate: float) -> dict[str, Any]:
    """Ask for some seconds; at ``rate`` requests a second, or as fast as answers come where it is 0."""
    latencies: list[float] = []
    failed: list[str] = []
    began = time.perf_counter()
    count = iter(range(1 << 62))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (now := time.perf_counter()) < began + seconds:
            due = now
            if rate:
                due = began + next(count) / rate
                if due >= began + seconds:
                    break
                await asyncio.sleep(max(0.0, due - now))
            try:
                status = await ask(reader, writer, request)
                latencies.append(time.perf_counter() - due)
                if status != 200:
                    failed.append(str(status))
            except (OSError, asyncio.IncompleteReadError) as error:
                failed.append(type(error).__name__)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    took = time.perf_counter() - began
    p50, p95, p99, worst = np.percentile(latencies, [50, 95, 99, 100]) * 1e3
    figures = {"requests/s": len(latencies) / took, "p50 ms": p50, "p95 ms": p95, "p99 ms": p99, "slowest ms": worst}
    return {**figures, "failed": len(failed), "requests": len(latencies), "own cpu s": time.process_time()}


# The server


def processor_seconds(pid: int) -> float:
    """Processor time of a process and all below it, that are still running."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        number = int(path.parent.name)
        used[number] = (int(fields[11]) + int(fields[12])) / ticks
        parents.setdefault(int(fields[1]), []).append(number)
    waiting, total = [pid], 0.0
    while waiting:
        number = waiting.pop()
        total += used.get(number, 0.0)
        waiting += parents.get(number, [])
    return total


def start(arguments: argparse.Namespace, port: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it is ready."""
    command = [sys.executable, "-m", "einthoven.cli", "serve", arguments.model, "--port", str(port)]
    command += ["--workers", str(arguments.workers), "--backend", arguments.backend, "--concurrency", "256"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                time.sleep(2)  # for the other workers
                return server
        except OSError:
            if server.poll() is not None:
                sys.exit("the server did not start; try  einthoven serve " + arguments.model)
            time.sleep(0.2)
    server.kill()
    sys.exit("the server was not ready in two minutes")


def measure(
    arguments: argparse.Namespace, kind: str, port: int, pid: int, seconds: float, rate: float
) -> dict[str, Any]:
    """Let the generator ask, and count what the server used meanwhile."""
    before = processor_seconds(pid)
    command = [sys.executable, __file__, "--generate", kind, "--port", str(port), "--fs", str(arguments.fs)]
    command += ["--connections", str(arguments.connections), "--seconds", str(seconds), "--rate", str(rate)]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    found["server cpu ms"] = 1e3 * (processor_seconds(pid) - before) / max(1, found["requests"])
    return found


def main(arguments: argparse.Namespace) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    figures: dict[str, Any] = {
        "model": arguments.model,
        "backend": arguments.backend,
        "rate of the ECGs, Hz": arguments.fs,
    }
    figures |= {
        "workers": arguments.workers,
        "connections": arguments.connections,
        "load average before": os.getloadavg()[0],
    }
    server = start(arguments, port)
    try:
        for kind in TARGETS:
            measure(arguments, kind, port, server.pid, 2, 0)
            found = measure(arguments, kind, port, server.pid, arguments.seconds, 0)
            figures |= {f"{kind}, {key}": value for key, value in found.items() if key != "own cpu s"}
            print(f"{kind}: {found['requests/s']:.0f}/s, target {TARGETS[kind]}/s", file=sys.stderr)
        if arguments.long:
            rate = 0.8 * min(TARGETS["binary"], figures["binary, requests/s"])
            found = measure(arguments, "binary", port, server.pid, arguments.long, rate)
            figures |= {"long run, s": arguments.long, "long run, asked/s": rate}
            figures |= {f"long run, {key}": value for key, value in found.items() if key != "own cpu s"}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    report("serving", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=(__doc__ or "").partition("usage:")[2])
    parser.add_argument("model", nargs="?", default="ptbxl-superdiagnostic")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--fs", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--long", type=float, default=600)
    parser.add_argument("--generate", choices=list(TARGETS))
    parser.add_argument("--port", type=int)
    parser.add_argument("--rate", type=float, default=0)
    given = parser.parse_args()
    if given.generate:
        body = request_of(given.generate, given.fs)
        print(json.dumps(asyncio.run(generate(given.port, body, given.connections, given.seconds, given.rate))))
    else:
        main(given)
