"""``einthoven serve``: models as a REST API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="bundles, runs or pretrained names, the default first; NAME=MODEL gives one another name  "
            "[default: EINTHOVEN_BUNDLE, or ptbxl-superdiagnostic]",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen at; 0.0.0.0 for all")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="likewise")] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="processes  [default: one a core, at most 4]")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="what computes: onnx, torch, or an artefact of the bundle, as int8")
    ] = "auto",
    token_file: Annotated[
        Path | None,
        typer.Option(help="file with the token that clients must send  [default: EINTHOVEN_TOKEN, or none]"),
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1024, help="of a request's body")] = 16 << 20,
    max_seconds: Annotated[float, typer.Option(min=2, help="of a recording")] = 3600.0,
    max_records: Annotated[int, typer.Option(min=1, help="of a request")] = 64,
    timeout: Annotated[float, typer.Option(min=1, help="seconds to receive and answer a request")] = 30.0,
    concurrency: Annotated[
        int, typer.Option(min=1, help="requests that a worker answers at a time; more are sent away with 429")
    ] = 32,
    explain_timeout: Annotated[float, typer.Option(min=1, help="seconds that an explanation may take")] = 120.0,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="log one JSON object a line")] = False,
) -> None:
    """Answer requests for predictions and explanations over HTTP. Not a medical device."""
    from einthoven.serve.server import serve as run
    from einthoven.serve.settings import DEFAULT_MODEL, Settings, read_token
    from einthoven.threads import available_cores

    n_workers = workers or min(available_cores(), 4)
    settings = Settings(
        models=tuple(models or [os.environ.get("EINTHOVEN_BUNDLE") or DEFAULT_MODEL]),
        backend=backend,
        threads=max(1, available_cores() // n_workers),
        token=read_token(token_file),
        max_bytes=max_bytes,
        max_duration_s=max_seconds,
        max_records=max_records,
        timeout_s=timeout,
        concurrency=concurrency,
        explain_timeout_s=explain_timeout,
        json_logs=json_logs,
    )
    run(settings, host, port, n_workers)
