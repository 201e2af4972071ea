"""The synthetic corpus on disk, in the layout that PTB-XL is published in.

One idea: whatever reads PTB-XL reads this, so every demo, test and tutorial runs without downloading a patient.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora.synthetic.cohort import Recording, check_rate, recordings
from einthoven.corpora.synthetic.pathologies import STATEMENTS
from einthoven.corpora.synthetic.render import decimate
from einthoven.errors import DatasetError
from einthoven.leads import TWELVE_LEADS

__all__ = ["write_synthetic_corpus"]

_FOLDER = {100: ("records100", "lr"), 500: ("records500", "hr")}
_DATABASE_COLUMNS = (
    "ecg_id", "patient_id", "age", "sex", "scp_codes", "report", "source", "strat_fold", "filename_lr", "filename_hr",
)  # fmt: skip
_STATEMENT_COLUMNS = ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
_ATTRIBUTION = (
    "Synthetic ECGs computed by Einthoven from a dipole model of the heart (seed {seed}); no patient was recorded. "
    "Statement codes and descriptions follow SCP-ECG as in PTB-XL.\n"
)
_OVER_89 = 300  # PTB-XL's way to write ages above 89


def write_synthetic_corpus(
    dest: Path,
    n_records: int,
    seed: int = 0,
    fs: Sequence[int] = (100,),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a synthetic corpus in PTB-XL's layout.

    The first records of a seed are the same whatever number is asked for.

    Args:
        dest: folder to create; may exist when empty.
        n_records: number of ten-second ECGs.
        seed: which population.
        fs: rates to write: 100 (``records100``) and/or 500 Hz (``records500``).
        progress: called with (done, total) after each record.

    Returns:
        ``dest``.

    Raises:
        DatasetError: ``dest`` is in use, or a number or rate that cannot be.
    """
    rates = [check_rate(rate) for rate in fs]
    if not rates:
        raise DatasetError("no sampling rate asked for; name 100, 500 or both")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise DatasetError(f"{dest} exists and is not empty; name a new folder, or remove that one first")
    plan = list(recordings(n_records, seed))
    dest.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{dest.name}-", dir=dest.parent))
    try:
        _write_tables(work, plan, seed)
        for done, recording in enumerate(plan, start=1):
            _write_signals(work, recording, rates)
            if progress is not None:
                progress(done, n_records)
        work.chmod(0o755)
        if dest.exists():
            dest.rmdir()
        work.rename(dest)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return dest


def _stem(ecg_id: int, fs: int) -> str:
    folder, suffix = _FOLDER[fs]
    return f"{folder}/{ecg_id // 1000 * 1000:05d}/{ecg_id:05d}_{suffix}"


def _write_signals(root: Path, recording: Recording, rates: Sequence[int]) -> None:
    strip = recording.render()
    for fs in rates:
        path = root / _stem(recording.ecg_id, fs)
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.clip(np.rint(decimate(strip, fs) * 1000), -32767, 32767).astype("<i2")
        path.with_suffix(".dat").write_bytes(np.ascontiguousarray(samples.T).tobytes())
        path.with_suffix(".hea").write_text(_header(path.name, samples, fs), encoding="ascii")


def _header(name: str, samples: NDArray[np.int16], fs: int) -> str:
    """WFDB header: format 16, 1000 steps per mV, first value and checksum (16-bit sum) of every lead."""
    sums = samples.sum(axis=1, dtype=np.int64) % 65536
    lines = [f"{name} {len(samples)} {fs} {samples.shape[1]}"]
    for lead, first, total in zip(TWELVE_LEADS, samples[:, 0], sums, strict=True):
        lines.append(f"{name}.dat 16 1000.0(0)/mV 16 0 {first} {total} 0 {lead.upper()}")
    return "\n".join(lines) + "\n"


def _write_tables(root: Path, plan: Sequence[Recording], seed: int) -> None:
    used = {code for recording in plan for code in recording.visit.codes}
    statements = [_statement_row(code) for code in STATEMENTS if code in used]
    _write_csv(root / "scp_statements.csv", _STATEMENT_COLUMNS, statements)
    _write_csv(root / "ptbxl_database.csv", _DATABASE_COLUMNS, [_database_row(one) for one in plan])
    (root / "ATTRIBUTION.txt").write_text(_ATTRIBUTION.format(seed=seed), encoding="utf-8")


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _statement_row(code: str) -> list[str]:
    row = STATEMENTS[code]
    flags = ["1.0" if kind in row.kind.split() else "" for kind in ("diagnostic", "form", "rhythm")]
    return [code, row.description, *flags, row.superclass, row.subclass]


def _database_row(one: Recording) -> list[Any]:
    visit = one.visit
    age = float(visit.age if visit.age <= 89 else _OVER_89)
    report = ", ".join(STATEMENTS[code].description for code in visit.codes)
    codes = repr({code: float(likelihood) for code, likelihood in visit.codes.items()})
    files = [_stem(one.ecg_id, fs) for fs in (100, 500)]
    sex = int(one.patient.female)  # PTB-XL: 0 male, 1 female
    return [one.ecg_id, one.patient.number + 1, age, sex, codes, report, "synthetic", one.fold, *files]
