"""Predictions of very many records: a folder of Parquet parts, each of one block of records.

``_plan.json`` says what is predicted, by what; ``part-NNNNNN.parquet`` is whole or absent; ``_manifest.json`` comes
last and lists the parts with their rows and checksums: a folder that has it is complete. Names with an underscore are
skipped by readers of Parquet folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from einthoven.errors import DatasetError
from einthoven.files import read_json, sha256_of

__all__ = ["list_parts", "manifest_of", "part_of", "plan_of_parts"]


def plan_of_parts(folder: Path) -> Path:
    """The file that says what is predicted, by what."""
    return folder / "_plan.json"


def manifest_of(folder: Path) -> Path:
    """The file that lists the parts once all are there."""
    return folder / "_manifest.json"


def part_of(folder: Path, k: int) -> Path:
    """The part of a block, by number from 0."""
    return folder / f"part-{k:06d}.parquet"


def list_parts(folder: Path) -> list[Path]:
    """The parts of a complete folder in order, each verified.

    Raises:
        DatasetError: no such folder, not complete yet, or a part is missing or altered.
    """
    if plan_of_parts(folder).is_file() and not manifest_of(folder).is_file():
        raise DatasetError(f"{folder}: not all is predicted yet; run the same 'einthoven predict' again")
    manifest: dict[str, Any] = read_json(manifest_of(folder), DatasetError, "made by 'einthoven predict --out'")
    paths = []
    for part in manifest["parts"]:
        path = folder / part["file"]
        if not path.is_file() or sha256_of(path) != part["sha256"]:
            raise DatasetError(f"{path}: missing or altered; run the same 'einthoven predict' again, which mends it")
        paths.append(path)
    return paths
