"""ONNX Runtime for browsers: fetched once from the user's npm registry, verified, and kept.

One idea: the version and every checksum are pinned here, so what a page runs is known before it is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from einthoven.errors import EinthovenError
from einthoven.files import atomic_write, sha256_of

__all__ = ["INTEGRITY", "LICENCE", "RUNTIME_FILES", "VERSION", "cache_folder", "fetch_runtime"]

_PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
LICENCE = "MIT"
# npm's own notation: the SHA-512 of the package.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# Names on the page, what they are called in the package, and their SHA-256. ".js", because some servers do not know
# ".mjs" for a script. WebAssembly alone: no graphics backend, whose files are larger and whose answers vary by card.
RUNTIME_FILES = {
    "ort.js": ("ort.wasm.bundle.min.mjs", "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    "ort.wasm": ("ort-wasm-simd-threaded.wasm", "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"),
}
_PATIENCE_S = 900


def cache_folder() -> Path:
    """Where fetched files are kept: ``einthoven`` below ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    where = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(where) if where else Path.home() / ".cache") / "einthoven" / f"{_PACKAGE}-{VERSION}"


def fetch_runtime(announce: Callable[[str], None]) -> Path:
    """Return the folder that holds ``RUNTIME_FILES``, fetched where it does not yet.

    Args:
        announce: told before something is fetched.

    Raises:
        EinthovenError: npm is missing or cannot fetch the package, its checksum differs, or the cache is closed.
    """
    folder = cache_folder()
    if all(_is_whole(folder / name, digest) for name, (_, digest) in RUNTIME_FILES.items()):
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise EinthovenError(
            f"a page needs {_PACKAGE} {VERSION}, which npm fetches once, and npm is not on the PATH: install Node.js "
            f"with npm, or copy {folder} from a machine that has made a page"
        )
    announce(f"fetching {_PACKAGE} {VERSION} with npm (33 MB, once)")
    with tempfile.TemporaryDirectory(prefix="einthoven-") as work:
        tarball = _pack(npm, Path(work))
        _check_integrity(tarball)
        _keep(tarball, folder)
    return folder


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _pack(npm: str, work: Path) -> Path:
    """The package as npm delivers it: registry, proxy and certificates are those of the user's configuration."""
    command = [npm, "pack", f"{_PACKAGE}@{VERSION}", "--pack-destination", str(work), "--loglevel", "error"]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise EinthovenError(
            f"npm did not deliver {_PACKAGE} {VERSION} within {_PATIENCE_S / 60:.0f} minutes"
        ) from None
    found = sorted(work.glob("*.tgz"))
    if done.returncode or not found:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise EinthovenError(
            f"npm could not fetch {_PACKAGE} {VERSION} ({said[0].strip() if said else 'it says nothing'}); check the "
            "network and the registry (npm config get registry)"
        )
    return found[0]


def _check_integrity(tarball: Path) -> None:
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if found != INTEGRITY:
        raise EinthovenError(
            f"npm delivered another {_PACKAGE} {VERSION} than the one known here ({found[:23]}... instead of "
            f"{INTEGRITY[:23]}...); it is not used: check the registry (npm config get registry)"
        )


def _keep(tarball: Path, folder: Path) -> None:
    with tarfile.open(tarball) as package:
        for name, (packed, _) in RUNTIME_FILES.items():
            member = package.extractfile(f"package/dist/{packed}")
            assert member is not None  # the package is the pinned one
            with atomic_write(folder / name) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(member, file)
