import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs einthoven[explain]")
pytest.importorskip("captum", reason="needs einthoven[explain]")

from einthoven.bundle import load_bundle
from einthoven.corpora.synthetic import example_record
from einthoven.explain import open_model, open_subject

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bundle():
    return load_bundle("ptbxl-superdiagnostic", threads=1)


@pytest.fixture(scope="session")
def model(bundle):
    return open_model(bundle)


@pytest.fixture(scope="session")
def block():
    """A synthetic left bundle branch block, which the shipped model finds."""
    return example_record("CLBBB", seed=0)


@pytest.fixture(scope="session")
def subject(bundle, model, block):
    return open_subject(bundle, block, model)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
