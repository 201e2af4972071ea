import re
import shutil
import subprocess
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from einthoven.bundle import load_bundle
from einthoven.edge.c_header import check_kernels, header, micro_kernels
from einthoven.edge.formats import FORMATS, Calibration, Options, maker_of
from einthoven.edge.tracing import cannot, layer_of, trace
from einthoven.errors import BundleError, MissingExtraError
from einthoven.runtimes import RUNTIMES, _edge, open_network

EDGE = [name for name, form in FORMATS.items() if form.module in ("litert", "openvino", "executorch", "c_header")]
ABOUT = {
    "name": "a */ b",
    "leads": ["I", "II"],
    "fs": 100.0,
    "samples": 50,
    "facts": ["age", "sex"],
    "classes": ["CD", "NORM"],
}


def test_every_format_has_a_maker_and_a_runtime():
    assert len(EDGE) == 8
    for name in EDGE:
        assert callable(maker_of(name))
        assert FORMATS[name].kind is None or FORMATS[name].kind in RUNTIMES
    assert FORMATS["c"].kind is None


@pytest.mark.skipif(find_spec("litert_torch") is not None, reason="the packages are there")
@pytest.mark.parametrize("name", EDGE)
def test_without_the_packages_export_says_how_to_get_them(name, tmp_path):
    bundle = load_bundle("ptbxl-superdiagnostic", backend="torch")
    seen = Calibration(["1"], np.zeros((1, 12, 250), np.float32), None)
    with pytest.raises(
        MissingExtraError, match="run  make edge  once, and then the same command with  .venv-edge/bin/einthoven"
    ):
        maker_of(name)(name, bundle, tmp_path, seen, Options())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("litert_torch") is not None, reason="the packages are there")
@pytest.mark.parametrize("kind", ["tflite", "openvino", "executorch"])
def test_without_the_packages_loading_says_how_to_get_them(kind, tmp_path):
    (tmp_path / "graph").write_bytes(b"")
    with pytest.raises(
        MissingExtraError, match="run  make edge  once, and then the same command with  .venv-edge/bin/einthoven"
    ):
        open_network(kind, tmp_path / "graph", {})


def test_an_older_package_is_refused_with_both_versions(monkeypatch):
    monkeypatch.setitem(_edge.LEAST, "numpy", (99, 1))
    with pytest.raises(BundleError, match=rf"counting needs numpy 99.1 or later, this is {re.escape(np.__version__)}"):
        _edge.load("numpy", "numpy", "counting")
    monkeypatch.setitem(_edge.LEAST, "numpy", (1, 99))
    assert _edge.load("numpy", "numpy", "counting") is np


def test_what_libraries_write_is_discarded_and_later_output_is_not(capfd):
    with _edge.quiet():
        subprocess.run(["echo", "narrated"], check=True)
        print("narrated")
    print("said")
    assert capfd.readouterr().out == "said\n"


def test_windows_are_computed_one_by_one_with_their_facts():
    network = _edge.one_by_one(lambda inputs: np.array([[each.sum() for each in inputs]]))
    x = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    facts = np.array([[1], [2], [3]], np.float32)
    np.testing.assert_array_equal(network(x, facts), [[6, 1], [22, 2], [38, 3]])
    np.testing.assert_array_equal(network(x, None), [[6], [22], [38]])


# Tracing


def test_every_norm_behind_a_layer_is_folded_and_the_answers_stay():
    bundle = load_bundle("ptbxl-superdiagnostic", backend="torch")
    traced = trace(bundle)
    norms = [node for node in traced.module.graph.nodes if "batch_norm" in str(node.target)]
    assert len(norms) == 2  # in the head, between pooling and the linear layers
    x = np.random.default_rng(0).normal(0, 0.3, (3, 12, 250)).astype(np.float32)
    with torch.no_grad():
        found = torch.cat([traced.module(torch.from_numpy(x[k : k + 1])) for k in range(3)]).numpy()
    np.testing.assert_allclose(found, bundle.network(x, None), atol=1e-5)


def test_an_operator_is_traced_back_to_its_layer():
    bundle = load_bundle("ptbxl-superdiagnostic", backend="torch")
    traced = trace(bundle)
    assert layer_of(traced, "conv1d") == "network.body.0"
    assert layer_of(traced, "convolution") == "network.body.0"  # what conv1d is made of
    assert layer_of(traced, "gelu") is None
    error = cannot(bundle, traced, "TFLite", NotImplementedError("no lowering: aten.convolution.default"))
    assert "operator convolution of the layer network.body.0" in str(error)
    error = cannot(bundle, traced, "TFLite", ValueError("out of luck\nmore"))
    assert str(error) == "ptbxl-superdiagnostic cannot be exported as TFLite: out of luck"


# The C header


def test_the_table_of_kernels_knows_common_operators():
    known = micro_kernels()
    assert known["CONV_2D"] == "AddConv2D"
    assert known["FULLY_CONNECTED"] == "AddFullyConnected"
    assert "GELU" not in known
    assert all(re.fullmatch(r"[A-Z0-9_]+", each) for each in known)


def test_an_operator_without_kernel_is_named_with_its_layer():
    check_kernels("m", [("CONV_2D", "network.body.0")])
    with pytest.raises(BundleError, match=r"m cannot run .* operator GELU of the layer network\.body\.3;"):
        check_kernels("m", [("CONV_2D", "network.body.0"), ("GELU", "network.body.3")])


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_header_compiles_and_holds_the_graph(tmp_path):
    graph = np.random.default_rng(0).integers(0, 256, 1003, np.uint8).tobytes()
    text = header(graph, ABOUT, ["CONV_2D", "ADD", "CONV_2D"], 4096)
    assert "MicroMutableOpResolver<2>:\n *   AddAdd\n *   AddConv2D\n" in text
    assert "float [1][2]: age, sex; NaN where unknown" in text
    (tmp_path / "model.h").write_text(text)
    (tmp_path / "main.c").write_text(
        '#include "model.h"\n#include <stdio.h>\nint main(void) {'
        ' printf("%d %d %d %d %d ", EINTHOVEN_N_LEADS, EINTHOVEN_N_SAMPLES, EINTHOVEN_N_FACTS, EINTHOVEN_N_CLASSES,'
        " EINTHOVEN_ARENA_BYTES);"
        ' for (int k = 0; k < EINTHOVEN_MODEL_BYTES; k++) printf("%02x", einthoven_model[k]); return 0; }\n'
    )
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "main", tmp_path / "main.c"], check=True)
    found = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    assert found == f"2 50 2 2 4096 {graph.hex()}"
