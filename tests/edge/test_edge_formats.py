"""Every format of the edge environment, on the shipped model and on small networks; made by the real converters."""

import importlib
import json
import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from einthoven.bundle import load_bundle
from einthoven.bundling import save_bundle
from einthoven.corpora import open_corpus
from einthoven.dataset import gather_steps, open_dataset, to_millivolts
from einthoven.edge import tracing
from einthoven.edge.c_header import micro_kernels
from einthoven.edge.formats import FORMATS, Calibration, Options, maker_of
from einthoven.edge.litert import operators
from einthoven.errors import BundleError
from einthoven.facts import facts_of_dataset
from einthoven.models import Classifier, FactScaling, FusedNetwork, Scaling, create_model
from einthoven.preparation import prepare
from einthoven.runtimes import open_network
from einthoven.runtimes._edge import load
from einthoven.spec import SignalSpec
from einthoven.workflow.exporting import export

pytestmark = [
    pytest.mark.edge,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(find_spec("litert_torch") is None, reason="needs the environment that make edge builds"),
]
FLOATS = ("tflite", "openvino", "executorch")
EIGHT_BITS = ("tflite-int8", "openvino-int8", "executorch-int8")
COMPUTED = (*FLOATS, "tflite-fp16", *EIGHT_BITS)


def _probabilities(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.fixture(scope="module")
def windows(real_data, tmp_path_factory):
    """Windows of real ECGs with age and sex: 64 of the training folds, 60 of fold 9."""
    corpus = open_corpus("ptb-xl", real_data / "ptb-xl")
    chosen = [each for each in corpus.entries if each.fold == 9][:60] + [e for e in corpus.entries if e.fold < 9][:64]
    folder = tmp_path_factory.mktemp("real") / "dataset"
    prepare(replace(corpus, entries=chosen), folder, SignalSpec(), workers=1)
    dataset = open_dataset(folder)
    facts, fold = facts_of_dataset(dataset, ("age", "female")), np.asarray(dataset.folds(None))
    found = {}
    for name, rows in (("calibration", np.flatnonzero(fold < 9)), ("judged", np.flatnonzero(fold == 9))):
        steps = gather_steps(dataset.open_shards(), dataset, rows, np.full(len(rows), 300), 250)
        found[name] = to_millivolts(steps, dataset.step_uv), facts[rows].astype(np.float32)
    return found


class Shop:
    """A bundle, and its artefacts, each made once."""

    def __init__(self, bundle, folder, windows):
        self.bundle, self.folder, self._made = bundle, folder, {}
        signals, facts = windows["calibration"]
        self.judged, self.facts = windows["judged"]
        if not bundle.facts:
            facts = self.facts = None
        self.calibration = Calibration([str(k) for k in range(len(signals))], signals, facts)

    def made(self, name, options=None):
        """What the maker gave, and the file."""
        if options is not None or name not in self._made:
            folder = self.folder / (name if options is None else f"{name}-{options.ranges}")
            folder.mkdir()
            seen = self.calibration if FORMATS[name].calibrated else None
            made = maker_of(name)(name, self.bundle, folder, seen, options or Options())
            if options is not None:
                return made, folder / made.files[0]
            self._made[name] = made, folder / made.files[0]
        return self._made[name]

    def network(self, name, threads=1):
        """The artefact, opened."""
        return open_network(FORMATS[name].kind, self.made(name)[1], self.bundle.about, threads)

    def size(self, name):
        """Of all its files."""
        made, file = self.made(name)
        return sum((file.parent / each).stat().st_size for each in made.files)


def _bundle(folder, windows, model, network, facts=()):
    """A bundle whose norms have seen real ECGs, with random weights, or facts that matter; its task is the shipped's."""
    signals, known = (torch.from_numpy(each) for each in windows["calibration"])
    model.train()
    if facts:
        _teach(model, signals, known)
    else:
        with torch.no_grad():
            for _ in range(30):
                model(signals)
    shipped = load_bundle("ptbxl-superdiagnostic").about
    left = {key: value for key, value in shipped.items() if key not in ("files", "novelty", "format_version")}
    about = {**left, "name": network["name"], "facts": list(facts)}
    about["network"] = {"options": {}, "n_leads": 12, "n_classes": 5, "n_scales": 1, **network}
    save_bundle(folder, model.eval(), about)
    return load_bundle(folder, backend="torch")


def _teach(model, signals, known):
    """Train a little: age decides three classes and sex one. Facts move random weights less than rounding does."""
    large = signals.std(dim=-1)[:, 1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(40):
        facts = known[torch.randperm(len(known))]  # so that the signal does not tell them
        age, female = facts.T
        targets = [age > 60, age < 60, age > 70, female > 0.5, large > large.median()]
        facts = facts.masked_fill(torch.rand(facts.shape) < 0.25, torch.nan)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model(signals, facts), torch.stack(targets, dim=1).float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _small(name, **options):
    torch.manual_seed(0)
    return Classifier(Scaling([0.0], [0.2]), create_model(name, 12, 5, **options))


@pytest.fixture(scope="module")
def shipped(windows, tmp_path_factory):
    return Shop(load_bundle("ptbxl-superdiagnostic", backend="torch"), tmp_path_factory.mktemp("shipped"), windows)


@pytest.fixture(scope="module")
def fused(windows, tmp_path_factory):
    """Odd widths, as pruning leaves them, with age and sex beside the signal."""
    torch.manual_seed(0)
    options, fusion = {"width": 13}, {"hidden": [7], "top": [9]}
    network = FusedNetwork(create_model("resnet1d_wang", 12, 5, **options), 2, **fusion)
    model = Classifier(Scaling([0.0], [0.2]), network, FactScaling([60.0, 0.5], [6.0, 0.2]))
    folder = tmp_path_factory.mktemp("fused")
    about = {"name": "resnet1d_wang", "options": options, "n_facts": 2, "fusion": fusion}
    return Shop(_bundle(folder / "bundle", windows, model, about, ("age", "female")), folder, windows)


# The shipped model


@pytest.mark.parametrize("name", COMPUTED)
def test_the_shipped_model_gives_its_own_answers(shipped, name):
    expected = _probabilities(shipped.bundle.network(shipped.judged, None))
    off = np.abs(_probabilities(shipped.network(name)(shipped.judged, None)) - expected)
    largest, median = {"fp32": (1e-5, 1e-6), "fp16": (2e-3, 1e-4), "int8": (0.3, 0.005)}[FORMATS[name].precision]
    assert off.max() < largest
    assert np.median(off) < median
    assert np.ptp(expected, axis=0).min() > 0.5  # the windows differ


@pytest.mark.parametrize("family", FLOATS)
def test_eight_bits_are_a_quarter_of_the_floats(shipped, family):
    assert 0.24 < shipped.size(f"{family}-int8") / shipped.size(family) < 0.31


def test_sixteen_bits_are_half_of_the_floats(shipped):
    assert 0.49 < shipped.size("tflite-fp16") / shipped.size("tflite") < 0.53


@pytest.mark.parametrize("name", COMPUTED)
def test_no_path_of_this_machine_is_in_an_artefact(shipped, name):
    made, file = shipped.made(name)
    raw = b"".join((file.parent / each).read_bytes() for each in made.files)
    for path in (str(file.parent), str(shipped.bundle.path), "/tmp/", "/home/", "site-packages"):
        assert path.encode() not in raw


@pytest.mark.parametrize("name", ["tflite", "openvino-int8", "executorch"])
def test_the_number_of_threads_changes_no_answer(shipped, name):
    one, two = (shipped.network(name, threads)(shipped.judged[:4], None) for threads in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("name", ["tflite", "openvino", "executorch"])
def test_a_damaged_file_is_refused(shipped, name, tmp_path):
    whole = shipped.made(name)[1]
    (tmp_path / whole.name).write_bytes(whole.read_bytes()[:200])
    with pytest.raises(BundleError, match=r"cannot open this .*export it again"):
        open_network(FORMATS[name].kind, tmp_path / whole.name, {}, 1)


def test_what_is_8_bits_are_the_layers_and_what_is_not_are_scaling_and_pooling(shipped):
    steps = operators(shipped.made("tflite-int8")[1].read_bytes())
    kinds = [operator for operator, _ in steps]
    first, last = kinds.index("QUANTIZE"), kinds.index("REDUCE_MAX")
    assert {"SUB", "MUL"} == set(kinds[:first])
    assert {"DEQUANTIZE", "QUANTIZE", "MUL"}.isdisjoint(kinds[first + 1 : last - 1])
    assert kinds[last - 1] == "DEQUANTIZE"


@pytest.mark.parametrize("name", ["tflite-int8", "openvino-int8"])
def test_other_ranges_and_layers_in_floats_give_the_answers_too(shipped, name):
    made, file = shipped.made(name, Options(ranges="percentile", keep_float=("first", "last")))
    assert len(made.how["kept_float"]) == 2
    assert made.how["ranges"] == "percentile"
    size = sum((file.parent / each).stat().st_size for each in made.files)
    assert size > shipped.size(name)
    off = np.abs(
        open_network(FORMATS[name].kind, file, {}, 1)(shipped.judged, None)
        - shipped.bundle.network(shipped.judged, None)
    )
    assert np.median(off) < 0.1


def test_executorch_keeps_layers_and_refuses_percentiles(shipped):
    with pytest.raises(BundleError, match="by minmax, not by percentile"):
        shipped.made("executorch-int8", Options(ranges="percentile"))


def test_the_header_holds_the_8_bit_graph_and_microcontrollers_compute_it(shipped):
    made, file = shipped.made("c")
    text = file.read_text()
    assert made.how["micro_windows"] == 8
    assert made.how["micro_logit_difference"] < 0.25
    assert f"#define EINTHOVEN_ARENA_BYTES {made.how['arena_bytes']}\n" in text
    assert made.how["arena_bytes"] < 100_000
    numbers = text.split("= {")[1].split("}")[0].replace("\n", "").replace(" ", "")
    graph = bytes(map(int, numbers.rstrip(",").split(",")))
    assert graph == shipped.made("tflite-int8")[1].read_bytes()
    assert {operator for operator, _ in operators(graph)} <= micro_kernels().keys()


# A fused network of odd widths


@pytest.mark.parametrize("name", COMPUTED)
def test_unknown_facts_stay_unknown(fused, name):
    network, expected = fused.network(name), fused.bundle.network
    unknown = np.full_like(fused.facts, np.nan)
    half = np.where(np.arange(2) == 0, np.nan, fused.facts).astype(np.float32)
    known = expected(fused.judged, fused.facts)
    limit = {"fp32": 1e-4, "fp16": 5e-3, "int8": 0.2}[FORMATS[name].precision] * known.std()
    for facts in (fused.facts, half, unknown):
        off = network(fused.judged, facts) - expected(fused.judged, facts)
        assert np.sqrt((off**2).mean()) < limit
    moved = expected(fused.judged, unknown) - known
    assert np.sqrt((moved**2).mean()) > 2 * limit  # or the facts could have been lost unseen
    own = network(fused.judged, unknown) - network(fused.judged, fused.facts)
    assert np.corrcoef(own.ravel(), moved.ravel())[0, 1] > 0.9


def test_unknown_facts_among_the_calibration_windows_leave_the_ranges_alone(fused):
    gaps = np.where(np.arange(64)[:, None] % 2 == 0, np.nan, fused.calibration.facts).astype(np.float32)
    for name in ("tflite-int8", "openvino-int8"):
        folder = fused.folder / f"{name}-gaps"
        folder.mkdir()
        made = maker_of(name)(name, fused.bundle, folder, replace(fused.calibration, facts=gaps), Options())
        found = open_network(FORMATS[name].kind, folder / made.files[0], {}, 1)(fused.judged, fused.facts)
        expected = fused.bundle.network(fused.judged, fused.facts)
        assert np.sqrt(((found - expected) ** 2).mean()) < 0.2 * expected.std()


def test_microcontrollers_take_unknown_facts(fused):
    made, file = fused.made("c")
    assert "age, female; NaN where unknown" in file.read_text()
    assert made.how["micro_logit_difference"] < 0.25


# What leaves this machine


def test_nothing_is_reported_to_anyone():
    """OpenVINO and NNCF send their use to Google Analytics where ``openvino_telemetry`` can be imported."""
    for package in ("openvino", "nncf"):
        load(package, package, "reporting")
    with pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")
    assert "stub" in importlib.import_module("openvino.tools.ovc.telemetry_utils").tm.__name__
    assert type(importlib.import_module("nncf.telemetry").telemetry).__name__ != "NNCFTelemetry"


# Refusals


class _Strange(torch.nn.Module):
    """A network with an operator that no converter has."""

    def __init__(self):
        super().__init__()
        self.linear, self.wave = torch.nn.Linear(12, 5), _Bessel()

    def forward(self, x):
        return self.linear(self.wave(x.mean(dim=-1)))


class _Bessel(torch.nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


@pytest.mark.parametrize(("name", "words"), [("tflite", "TFLite"), ("executorch", "ExecuTorch")])
def test_an_operator_that_a_converter_lacks_is_named_with_its_layer(shipped, name, words, tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "build_classifier", lambda _: _Strange())
    monkeypatch.setattr(tracing, "load_weights", lambda *_: None)
    with pytest.raises(BundleError, match=rf"exported as {words}: .* operator special_bessel_j0 of the layer wave;"):
        maker_of(name)(name, shipped.bundle, tmp_path, None, Options())
    assert list(tmp_path.iterdir()) == []


def test_an_operator_that_microcontrollers_lack_is_named_with_its_layer(windows, tmp_path):
    bundle = _bundle(tmp_path / "b", windows, _small("convnext1d"), {"name": "convnext1d"})
    seen = Calibration(["1"] * 4, windows["calibration"][0][:4], None)
    with pytest.raises(BundleError, match=r"no kernel for the operator GELU of the layer network\.body"):
        maker_of("c")("c", bundle, tmp_path, seen, Options())
    assert not (tmp_path / "model.h").exists()


# The whole way


def test_export_proves_artefacts_and_the_bundle_computes_with_them(dataset_folder, tmp_path):
    dataset = shutil.copytree(dataset_folder, tmp_path / "dataset")  # synthetic, under the name of the model's own
    about = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps({**about, "name": "ptb-xl"}))
    done = export(
        "ptbxl-superdiagnostic",
        ("tflite-int8", "c"),
        dataset,
        out=tmp_path / "edge",
        n_calibration=16,
        max_drop=1,
        n_resamples=10,
    )
    assert done.refused == {}
    about = load_bundle(tmp_path / "edge").about["artefacts"]
    assert about["tflite-int8"]["proof"]["n_records"] > 10
    assert about["c"]["proof"] is None
    small, plain = (load_bundle(tmp_path / "edge", backend=name) for name in ("tflite-int8", "torch"))
    x = np.zeros((2, 12, 250), np.float32)
    np.testing.assert_allclose(small.scores(x), plain.scores(x), atol=0.1)
