"""Starts the workers, and takes away what they shared when they have ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType

from einthoven.errors import EinthovenError
from einthoven.serve.settings import FOLDER, MULTIPROCESS, Settings, write_settings
from einthoven.serve.shelf import Shelf, load_shelf

__all__ = ["serve"]

_GRACE_S = 30  # for requests in flight when the server is told to end
_PULSE_S = 60  # a worker that is silent for longer is started again; a long recording is no silence


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those in flight are finished first.

    Args:
        settings: of every worker.
        host: address to listen at.
        port: likewise.
        workers: processes.

    Raises:
        EinthovenError: a model cannot be loaded, or the address is taken; said before anything is started.
    """
    import uvicorn

    shelf = load_shelf(settings)
    _check_free(host, port)
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises the signal again when it has finished
    with tempfile.TemporaryDirectory(prefix="einthoven-serve-") as folder:
        write_settings(Path(folder), settings)
        counts = Path(folder, "counts")
        counts.mkdir()
        os.environ |= {FOLDER: folder, MULTIPROCESS: str(counts)}
        _announce(shelf, settings, host, port, workers)
        uvicorn.run(
            "einthoven.serve.app:from_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_worker_healthcheck=_PULSE_S,
        )


def _end(_: int, __: FrameType | None) -> None:
    sys.exit(0)


def _check_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise EinthovenError(
            f"cannot listen at {host}:{port}: {error.strerror or error}; choose another --port"
        ) from None


def _announce(shelf: Shelf, settings: Settings, host: str, port: int, workers: int) -> None:
    names = ", ".join(f"{model.name} ({model.backend})" for model in shelf.models.values())
    count = f"{workers} worker{'s' if workers > 1 else ''}"
    print(f"{names} at http://{host}:{port} with {count}; not a medical device; end with Ctrl-C", file=sys.stderr)
    if not settings.token and host not in ("127.0.0.1", "::1", "localhost"):
        print(
            "warning: whoever reaches this address may ask, without a token and unencrypted; see --token-file, and put "
            "a proxy with TLS before it",
            file=sys.stderr,
        )
