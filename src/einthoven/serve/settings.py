"""What a server is told: models, limits, token. It reaches the workers as a file that only its owner can read."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from einthoven.errors import EinthovenError
from einthoven.files import read_json, write_json

__all__ = ["DEFAULT_MODEL", "FOLDER", "MULTIPROCESS", "Settings", "read_settings", "read_token", "write_settings"]

DEFAULT_MODEL = "ptbxl-superdiagnostic"
FOLDER = "EINTHOVEN_SERVE_FOLDER"  # where the workers find their settings
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # where they share their counts; read when prometheus_client is imported
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server answers.

    Attributes:
        models: bundles, runs or pretrained names, the default first; ``NAME=WHERE`` gives one another name.
        backend: what computes, as ``load_bundle`` takes it.
        threads: of the runtime, in each worker.
        token: that a client must send; empty asks for none.
        max_bytes: of a request's body.
        max_duration_s: of a recording.
        max_records: of a request.
        timeout_s: for receiving and answering a request.
        concurrency: requests that a worker answers at a time; more are sent away with 429.
        explanations: of those, explanations.
        explain_timeout_s: for an explanation.
        json_logs: one JSON object a line, instead of words.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    backend: str = "auto"
    threads: int = 1
    token: str = ""
    max_bytes: int = 16 << 20
    max_duration_s: float = 3600.0
    max_records: int = 64
    timeout_s: float = 30.0
    concurrency: int = 32
    explanations: int = 1
    explain_timeout_s: float = 120.0
    json_logs: bool = False


def read_token(file: Path | None) -> str:
    """Return the token of a file, or of ``EINTHOVEN_TOKEN``; empty where there is neither.

    Raises:
        EinthovenError: the file cannot be read, or the token is too short to be one.
    """
    try:
        token = file.read_text(encoding="utf-8").strip() if file else os.environ.get("EINTHOVEN_TOKEN", "")
    except (OSError, UnicodeDecodeError) as error:
        raise EinthovenError(f"{file}: the token cannot be read: {error}") from None
    if (token or file) and not (len(token) >= _SHORTEST_TOKEN and token.isascii() and token.isprintable()):
        where = file or "EINTHOVEN_TOKEN"
        raise EinthovenError(
            f"{where}: a token has at least {_SHORTEST_TOKEN} plain characters; make one with  openssl rand -hex 32"
        )
    return token


def write_settings(folder: Path, settings: Settings) -> None:
    """Write the settings for the workers."""
    write_json(folder / "settings.json", asdict(settings))
    (folder / "settings.json").chmod(0o600)


def read_settings() -> Settings:
    """Read what ``write_settings`` wrote, in the folder that the environment names."""
    folder = os.environ.get(FOLDER)
    if not folder:
        raise EinthovenError(f"{FOLDER} is not set; a server is started with  einthoven serve")
    values = read_json(Path(folder) / "settings.json", EinthovenError, "the folder of a running server")
    return Settings(**{**values, "models": tuple(values["models"])})
