"""What every test shares: one thread, and where real ECGs lie."""

import os
from pathlib import Path

# Two OpenMP threads on a busy core are up to a hundred times slower than one: set before torch or numpy load.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The unpacked real ECGs; skipped by name where absent, except in CI, where absence is a failure."""
    where = os.environ.get("EINTHOVEN_TEST_DATA", "")
    if where and Path(where).is_dir():
        return Path(where)
    if os.environ.get("CI"):
        pytest.fail("EINTHOVEN_TEST_DATA must point to the unpacked real ECGs in CI")
    pytest.skip("EINTHOVEN_TEST_DATA does not point to unpacked real ECGs")


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus of 240 records in PTB-XL's layout."""
    from einthoven.corpora.synthetic import write_synthetic_corpus

    folder = tmp_path_factory.mktemp("corpus") / "synthetic"
    write_synthetic_corpus(folder, 240, seed=1)
    return folder


@pytest.fixture(scope="session")
def dataset_folder(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same records as a prepared dataset; read only."""
    from einthoven.corpora import open_corpus
    from einthoven.preparation import prepare
    from einthoven.spec import SignalSpec

    folder = tmp_path_factory.mktemp("dataset") / "synthetic"
    prepare(open_corpus("ptb-xl", corpus_folder), folder, SignalSpec(), workers=1)
    return folder
