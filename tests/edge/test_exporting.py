import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from typer.testing import CliRunner

from einthoven import workflow
from einthoven.bundle import digest_of, load_bundle
from einthoven.bundling import export_onnx
from einthoven.cli.main import app
from einthoven.dataset import open_dataset
from einthoven.edge import formats
from einthoven.edge.artefacts import with_artefact
from einthoven.edge.calibration import draw_calibration, draw_rows
from einthoven.edge.formats import Options, parse_formats
from einthoven.edge.onnx import make
from einthoven.edge.proof import prove
from einthoven.edge.record import answer_records, check, long_enough
from einthoven.edge.record import make as make_record
from einthoven.edge.shelf import Shelf
from einthoven.errors import BundleError, DatasetError, RecipeError
from einthoven.evaluation.predictions import predict_dataset
from einthoven.files import sha256_of
from einthoven.metrics import auroc
from einthoven.record import Record
from einthoven.training.recipe import parse_recipe
from einthoven.workflow.exporting import export
from einthoven.workflow.selection import select_for_bundle
from einthoven.workflow.slimming import slim


@pytest.fixture(scope="module", autouse=True)
def unreported():
    """Plots and reports take longer than these trainings, and are tested elsewhere."""

    def write(folder, judgement, predictions, **_):
        (folder / "report.html").touch()
        return {judgement["split"]: judgement}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["einthoven.workflow.evaluate"], "write_judgement", write)
        yield


def _train(dataset_folder, runs, name, more=""):
    recipe = parse_recipe(
        f"""
name: {name}
data: {{dataset: {dataset_folder}{more}}}
model: {{name: resnet1d_wang, options: {{width: 16}}}}
training: {{epochs: 3, batch_size: 16, ema: 0.9, precision: fp32, threads: 1}}
evaluation: {{n_resamples: 100}}
"""
    )
    return workflow.train(recipe, runs).path


@pytest.fixture(scope="module")
def trained(dataset_folder, tmp_path_factory):
    return _train(dataset_folder, tmp_path_factory.mktemp("runs"), "plain")


@pytest.fixture(scope="module")
def fused(dataset_folder, tmp_path_factory):
    return _train(dataset_folder, tmp_path_factory.mktemp("runs"), "fused", ", facts: [age, sex]")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A copy of the run with proven artefacts."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("copy") / "run")
    done = export(run, ("onnx", "fp16", "int8", "int8-dynamic"), n_calibration=64, max_drop=0.05)
    assert done.refused == {}
    return run


@pytest.fixture
def run(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "run")


def _validation(bundle, dataset_folder):
    selected = select_for_bundle(bundle, open_dataset(dataset_folder))
    rows = selected.rows["validation"]
    return predict_dataset(bundle, selected.dataset, rows, selected.targets[rows])


# What is exported


def test_every_artefact_computes_and_says_what_it_is(exported):
    about = load_bundle(exported).about
    assert list(about["artefacts"]) == ["onnx", "fp16", "int8", "int8-dynamic"]
    for name, entry in about["artefacts"].items():
        bundle = load_bundle(exported, backend=name)
        file = bundle.path / entry["files"][0]
        assert entry["bytes"] == file.stat().st_size
        assert entry["proof"]["good"]
        assert entry["proof"]["split"] == "validation"
        assert entry["files"][0] in about["files"]


def test_int8_is_small_and_fp16_half_the_size(exported):
    size = {name: each["bytes"] for name, each in load_bundle(exported).about["artefacts"].items()}
    assert size["int8"] < 0.75 * size["onnx"]  # in so small a network names and scales weigh
    assert 0.45 < size["fp16"] / size["onnx"] < 0.75


def test_convolutions_of_int8_are_int8_and_weights_use_seven_bits(exported):
    graph = onnx.load(load_bundle(exported).path / "model.int8.onnx").graph
    makers = {output: node for node in graph.node for output in node.output}
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) > 8
    for layer in layers:
        weight = makers[layer.input[1]]
        assert weight.op_type == "DequantizeLinear"
        stored = tensors[weight.input[0]]
        assert stored.dtype == np.int8
        assert np.abs(stored.astype(int)).max() <= 64
        assert makers[layer.input[0]].op_type == "DequantizeLinear"


def test_the_proof_is_what_the_two_backends_say(exported, dataset_folder):
    plain, small = (_validation(load_bundle(exported, backend=name), dataset_folder) for name in ("torch", "int8"))
    bundle = load_bundle(exported, backend="torch")
    proof = bundle.about["artefacts"]["int8"]["proof"]
    assert proof["n_records"] == len(plain.record_id)
    macro = [np.nanmean(auroc(each.targets, each.probabilities)) for each in (plain, small)]
    assert proof["macro_auroc"]["reference"] == pytest.approx(macro[0])
    assert proof["macro_auroc"]["artefact"] == pytest.approx(macro[1])
    assert proof["macro_auroc"]["difference"]["value"] == pytest.approx(macro[1] - macro[0])
    before, after = (bundle.decisions.decide(each.probabilities) for each in (plain, small))
    assert proof["flips"]["decisions"] == int((before.present != after.present).sum())
    assert proof["probability_difference"]["largest"] == pytest.approx(
        np.abs(before.probabilities - after.probabilities).max()
    )
    assert 0 < proof["probability_difference"]["largest"] < 0.3


def test_the_card_shows_every_artefact(exported):
    card = (load_bundle(exported).path / "README.md").read_text()
    assert "## Exported forms" in card
    assert "\n| int8 |" in card
    assert "\neinthoven predict plain my-ecg.csv --backend int8\n" in card
    assert "Use one with `--backend onnx|fp16|int8|int8-dynamic`." in card


def test_calibration_records_are_training_records_and_stored_by_id(exported, dataset_folder):
    about = load_bundle(exported).about
    drawn = about["artefacts"]["int8"]["made"]["calibration"]["records"]
    dataset = open_dataset(dataset_folder)
    fold_of = dict(zip(dataset.records.record_id, dataset.records.fold, strict=True))
    assert len(set(drawn)) == 64
    assert {fold_of[record] for record in drawn} <= set(about["provenance"]["folds"]["train"])


def test_the_same_export_gives_the_same_bytes(trained, exported, tmp_path):
    other = shutil.copytree(trained, tmp_path / "run")
    export(other, ("int8",), n_calibration=64, max_drop=0.05)
    assert (
        load_bundle(other).about["files"]["model.int8.onnx"] == load_bundle(exported).about["files"]["model.int8.onnx"]
    )


def test_other_ranges_give_a_model_too(run, capfd):
    options = Options(ranges="percentile", keep_float=("first", "last"))
    assert export(run, ("int8",), n_calibration=16, options=options, max_drop=0.2, n_resamples=100).refused == {}
    made = load_bundle(run).about["artefacts"]["int8"]["made"]
    assert made["ranges"] == "percentile"
    assert capfd.readouterr().out == ""
    assert len(made["kept_float"]) == 2
    kept = {node.name: node for node in onnx.load(load_bundle(run).path / "model.int8.onnx").graph.node}
    tensors = {tensor.name for tensor in onnx.load(load_bundle(run).path / "model.int8.onnx").graph.initializer}
    assert all(kept[name].input[1] in tensors for name in made["kept_float"])


def test_a_fused_model_in_int8_still_takes_unknown_facts(fused, dataset_folder, tmp_path):
    run = shutil.copytree(fused, tmp_path / "run")
    assert export(run, ("int8",), n_calibration=64, max_drop=0.1).refused == {}
    plain, small = (load_bundle(run, backend=name) for name in ("torch", "int8"))
    selected = select_for_bundle(plain, open_dataset(dataset_folder))
    seen = draw_calibration(plain, selected.dataset, selected.rows["validation"], selected.targets, 16, 0)
    none = np.full_like(seen.facts, np.nan)
    for facts in (seen.facts, none):
        np.testing.assert_allclose(small.scores(seen.signals, facts), plain.scores(seen.signals, facts), atol=0.15)
    assert np.abs(small.scores(seen.signals, none) - small.scores(seen.signals, seen.facts)).max() > 1e-3


def test_unknown_facts_among_the_calibration_records_leave_the_ranges_alone(fused, dataset_folder, tmp_path):
    plain = load_bundle(fused, backend="torch")
    selected = select_for_bundle(plain, open_dataset(dataset_folder))
    seen = draw_calibration(plain, selected.dataset, selected.rows["train"], selected.targets, 64, 0)
    gaps = np.where(np.arange(64)[:, None] % 2 == 0, np.nan, seen.facts).astype(np.float32)
    made = make("int8", plain, tmp_path, replace(seen, facts=gaps), Options())
    small = with_artefact(plain, "int8", tmp_path / made.files[0])
    np.testing.assert_allclose(small.scores(seen.signals, gaps), plain.scores(seen.signals, gaps), atol=0.15)


@pytest.mark.parametrize("fs", [300, *(pytest.param(each, marks=pytest.mark.slow) for each in (100, 128, 40))])
def test_a_graph_of_whole_records_resamples_as_python_does(fused, dataset_folder, fs, tmp_path):
    bundle = load_bundle(fused, backend="torch")
    made = make_record("record", bundle, tmp_path, None, Options(record_fs=fs))
    selected = select_for_bundle(bundle, open_dataset(dataset_folder))
    pair = answer_records(bundle, selected.dataset, selected.rows["validation"], tmp_path / made.files[0], made.how)
    np.testing.assert_allclose(*pair, atol=2e-6)
    assert np.ptp(pair[0], axis=0).min() > 0.01


def test_a_graph_of_whole_records_is_proven_and_is_no_backend(run):
    assert export(run, ("record",), n_resamples=100, options=Options(record_fs=250)).refused == {}
    entry = load_bundle(run).about["artefacts"]["record"]
    assert entry["made"]["fs"] == 250
    assert entry["proof"]["probability_difference"]["largest"] < 1e-5
    with pytest.raises(BundleError, match="no backend 'record'"):
        load_bundle(run, backend="record")
    assert entry["proof"]["compared_with"] == "the bundle's answers on whole records, brought to 250 Hz"
    refused = export(run, ("record",), options=Options(record_s=60)).refused
    assert "no record of the validation split is 60 s long" in refused["record"]
    assert load_bundle(run).about["artefacts"]["record"] == entry


def test_a_graph_of_a_part_of_the_record_is_compared_with_the_answer_on_the_whole(run):
    told = []
    options = Options(record_fs=100, record_s=2.5)
    done = export(run, ("record",), n_resamples=10, max_drop=-1, options=options, announce=told.append)
    assert "sees 2.5 s of records that the bundle judges whole; give more --seconds" in done.refused["record"]
    assert done.made == ()
    (largest,) = re.findall(r"probabilities differ by (\S+) at most", "\n".join(told))
    assert float(largest) > 1e-3


def test_records_fill_the_graphs_input_at_its_own_rate(dataset_folder):
    dataset = open_dataset(dataset_folder)
    rows = np.flatnonzero(dataset.records.length == 1000)
    for seconds, fits in ((10, True), (9.997, True), (10.001, True), (10.002, False)):
        assert long_enough(dataset, rows, {"fs": 500, "seconds": seconds}).all() == fits


def test_a_model_of_beats_has_no_graph_of_records(trained):
    bundle = load_bundle(trained, backend="torch")
    origin = {**bundle.about["provenance"], "record_s": 0.7}
    with pytest.raises(BundleError, match=r"judges single beats of 0.7 s that were cut out around their R peak"):
        check(replace(bundle, about={**bundle.about, "provenance": origin}))


def test_filters_and_odd_rates_have_no_graph(trained, tmp_path):
    bundle = load_bundle(trained, backend="torch")
    filtered = replace(bundle, spec=replace(bundle.spec, band_hz=(0.5, 40.0)))
    with pytest.raises(BundleError, match=r"plain filters its signals \(band_hz\) forwards and backwards"):
        make_record("record", filtered, tmp_path, None, Options())
    with pytest.raises(BundleError, match=r"from 257.3 to 100 Hz takes 1000 phases of .* taps"):
        make_record("record", bundle, tmp_path, None, Options(record_fs=257.3))


# What is refused


def test_an_operator_without_onnx_form_is_named_with_its_layer(tmp_path):
    class Singular(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x @ x.transpose(1, 2))

    network = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 3), Singular()).eval()
    with pytest.raises(BundleError, match=r"operator aten._linalg_svd of layer 1 has no ONNX form"):
        export_onnx(network, np.ones((2, 3, 9), np.float32), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def _break(monkeypatch):
    """Make int8 artefacts whose answers are those of another network."""

    def broken(name, bundle, folder, calibration, options):
        made = make(name, bundle, folder, calibration, options)
        graph = onnx.load(folder / made.files[0])
        for tensor in graph.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.int8 and values.ndim > 1:
                tensor.CopyFrom(numpy_helper.from_array(-values[::-1].copy(), tensor.name))
        onnx.save(graph, folder / made.files[0])
        return made

    monkeypatch.setattr("einthoven.workflow.exporting.maker_of", lambda name: broken)


def test_an_artefact_that_is_not_the_model_is_refused_and_the_older_one_stays(run, monkeypatch):
    older = load_bundle(run).about["files"]["model.int8.onnx"]
    _break(monkeypatch)
    done = export(run, ("int8", "fp16"), n_calibration=64, n_resamples=100)
    assert "not the model any more: macro AUROC falls from" in done.refused["int8"]
    assert "more than the 0.005 allowed" in done.refused["int8"]
    assert load_bundle(run, backend="int8").about["files"]["model.int8.onnx"] == older


def test_a_refused_copy_is_not_made_and_the_command_says_only_what_is_true(run, tmp_path, monkeypatch):
    _break(monkeypatch)
    few = ["--calibration", "9999", "--n-resamples", "10"]
    done = CliRunner().invoke(app, ["export", str(run), "--to", "int8", "--out", str(tmp_path / "copy"), *few])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "error: int8: not the model any more: macro AUROC falls from" in done.stderr
    n = load_bundle(run).about["provenance"]["n_records"]
    assert f"calibration: 9,999 records were asked for, all {n} training records are shown" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_export_says_how_to_go_on(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("einthoven.workflow.exporting.maker_of", lambda name: stop)
    done = CliRunner().invoke(app, ["export", str(run), "--to", "fp16"])
    assert str(done.exception) == (
        "interrupted; what was put into the bundle is whole; run the command again, with --to for what is left"
    )


def test_a_damaged_artefact_refuses_itself_and_nothing_else(run):
    file = load_bundle(run).path / "model.int8.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BundleError, match=r"model.int8.onnx: its checksum differs"):
        load_bundle(run, backend="int8")
    for backend in ("auto", "onnx", "torch", "fp16"):
        load_bundle(run, backend=backend)
    file.unlink()
    with pytest.raises(BundleError, match=r"model.int8.onnx: missing"):
        load_bundle(run, backend="int8")
    with pytest.raises(BundleError, match="no backend 'int9'.*this bundle has onnx, torch, fp16, int8, int8-dynamic;"):
        load_bundle(run, backend="int9")


def test_an_artefact_of_another_network_is_refused_by_its_probe(run):
    path = load_bundle(run).path
    about = json.loads((path / "bundle.json").read_text())
    about.pop("sha256")
    about["artefacts"]["int8"]["probe"][0][0] += 1
    (path / "bundle.json").write_text(json.dumps({**about, "sha256": digest_of(about)}))
    with pytest.raises(BundleError, match="answers the stored probe with logits off by 1"):
        load_bundle(run, backend="int8")
    assert load_bundle(run).name == "plain"


def test_a_graph_that_the_runtime_does_not_know_is_a_sentence(run):
    bundle = load_bundle(run)
    graph = onnx.load(bundle.path / "model.onnx")
    graph.opset_import[0].version = 999
    (bundle.path / "model.onnx").write_bytes(graph.SerializeToString())
    about = json.loads((bundle.path / "bundle.json").read_text())
    about.pop("sha256")
    about["files"]["model.onnx"] = sha256_of(bundle.path / "model.onnx")
    (bundle.path / "bundle.json").write_text(json.dumps({**about, "sha256": digest_of(about)}))
    with pytest.raises(
        BundleError, match=r"model.onnx: onnxruntime [\d.]+ cannot open this graph: .*install a later one"
    ):
        load_bundle(run, backend="onnx")


def test_an_unknown_backend_is_named():
    with pytest.raises(
        BundleError, match=r"no backend 'int9'.*this bundle has onnx, torch; others are made by einthoven"
    ):
        load_bundle("ptbxl-superdiagnostic", backend="int9")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "int9"], r"unknown format 'int9' \(did you mean 'int8'\?\); formats are onnx, fp16, int8"),
        (["--to", ","], "no format to export to"),
        (["--ranges", "median"], r"unknown ranges 'median'.*; choose minmax, percentile"),
        (["--keep-float", "middle"], "unknown layer 'middle'; those that may stay in 32 bits are first, last"),
        (["--split", "dev"], "unknown split 'dev'; splits are train, validation, test"),
        (["--calibration", "3"], "3 calibration records cannot show all 5 classes; use 5 or more"),
        (["--finetune", "3", "--criterion", "l2"], "--finetune, --criterion: nothing would be trained; add --prune or"),
        (["--qat", "--rounds", "2"], "--rounds: nothing would be pruned; add --prune, or leave this out"),
        (["--prune", "0", "--qat"], "a ratio of 0 prunes nothing; name a share as 0.5, or leave it out"),
        (
            ["--prune", "0.5", "--criterion", "tailor"],
            r"unknown criterion 'tailor' \(did you mean 'taylor'\?\); choose",
        ),
        (
            ["--prune", "0.5", "--scope", "globel"],
            r"unknown scope 'globel' \(did you mean 'global'\?\); choose global,",
        ),
        (["--lean", "--to", "web"], "nothing could compute a lean copy of a page alone; add one of onnx"),
    ],
)
def test_wrong_options_are_one_sentence(run, arguments, message):
    done = CliRunner().invoke(app, ["export", str(run), *arguments])
    assert isinstance(done.exception, (RecipeError, DatasetError, BundleError)), done.output
    assert re.search(message, str(done.exception))


def test_a_bundle_alone_needs_its_dataset_and_no_other(exported, dataset_folder, tmp_path):
    alone = shutil.copytree(load_bundle(exported).path, tmp_path / "alone")
    with pytest.raises(DatasetError, match="is no run, so name the folder where the dataset that it was trained on, "):
        export(alone, ("fp16",))
    other = shutil.copytree(dataset_folder, tmp_path / "other")
    about = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**about, "name": "other"}))
    with pytest.raises(DatasetError, match="holds other, but plain was trained on"):
        export(alone, ("fp16",), other)
    done = export(alone, ("fp16",), dataset_folder, out=tmp_path / "small", n_resamples=100)
    assert done.bundle.path == tmp_path / "small"
    assert done.refused == {}


def _fp16(bundle, folder):
    folder.mkdir(exist_ok=True)
    return "fp16", folder, make("fp16", bundle, folder, None, Options()), None


def test_a_copy_has_its_folders_name_and_is_there_when_something_good_is_in_it(exported, tmp_path):
    bundle = load_bundle(exported, backend="torch")
    with Shelf(bundle, tmp_path / "a"):
        assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        with Shelf(bundle, tmp_path / "a") as shelf:
            shelf.put(*_fp16(bundle, tmp_path / "made"))
        assert (shelf.names, shelf.bundle.path, shelf.bundle.name) == (["fp16"], tmp_path / "a", "a")
    assert (tmp_path / "a" / "README.md").read_text().startswith("# a\n")
    assert load_bundle(exported).name == "plain"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "made"]


def test_a_copy_goes_nowhere_where_something_else_is(exported, tmp_path):
    bundle = load_bundle(exported, backend="torch")
    with Shelf(bundle, tmp_path / "a") as shelf:
        shelf.put(*_fp16(bundle, tmp_path / "made"))
    with pytest.raises(BundleError, match="holds another model; name another folder with --out"):
        Shelf(load_bundle("ptbxl-superdiagnostic"), tmp_path / "a").__enter__()
    with pytest.raises(BundleError, match="holds a whole copy of this model; name another folder"):
        Shelf(bundle, tmp_path / "a", lean=True).__enter__()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="is there and is no bundle"):
        Shelf(bundle, tmp_path / "b").__enter__()
    with pytest.raises(BundleError, match="cannot be written"):
        Shelf(bundle, tmp_path / "b" / "notes.txt" / "c").__enter__()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "made"]


def test_a_lean_copy_holds_what_a_device_needs_and_computes_by_itself(exported, tmp_path):
    folder, told = tmp_path / "device", []
    for _ in range(2):  # the second replaces the first
        done = export(
            exported,
            ("int8",),
            out=folder,
            lean=True,
            n_calibration=16,
            max_drop=0.2,
            n_resamples=10,
            ids=False,
            announce=told.append,
        )
    assert (done.made, done.refused, done.bundle.path) == (("int8",), {}, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "bundle.json",
        "model.int8.onnx",
        "novelty.safetensors",
        "probe.safetensors",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["device"]
    bundle, whole = load_bundle(folder), load_bundle(exported, backend="torch")
    assert list(bundle.about["artefacts"]) == ["int8"]
    made = bundle.about["artefacts"]["int8"]["made"]["calibration"]
    assert (made["n"], len(made["ids_sha256"]), "records" in made) == (16, 64, False)
    x = np.random.default_rng(0).normal(0, 0.3, (2, 12, bundle.window)).astype(np.float32)
    np.testing.assert_array_equal(bundle.scores(x), load_bundle(folder, backend="int8").scores(x))
    np.testing.assert_allclose(bundle.scores(x), whole.scores(x), atol=0.2)
    for backend in ("torch", "onnx"):
        with pytest.raises(
            BundleError,
            match=f"no backend '{backend}'.*has int8; model.onnx and model.safetensors were left out of it, so name",
        ):
            load_bundle(folder, backend=backend)
    (folder / "probe.safetensors").unlink()
    with pytest.raises(BundleError, match=r"probe.safetensors: missing"):
        load_bundle(folder)


def test_a_lean_copy_that_nothing_could_compute_is_refused(exported, tmp_path):
    with pytest.raises(RecipeError, match="nothing could compute a lean copy of record alone; add one of onnx, fp16"):
        export(exported, ("record",), out=tmp_path / "x", lean=True)


# Rooms


def test_a_network_without_facts_is_never_given_any(exported, dataset_folder):
    seen = []
    bundle = load_bundle(exported)

    def network(x, facts):
        seen.append(facts)
        return bundle.network(x, facts)

    _validation(replace(bundle, network=network), dataset_folder)
    n, t = len(seen), np.arange(1000, dtype=np.float32) / 100
    waves = np.stack([np.sin(2 * np.pi * (1 + k / 7) * t) for k in range(12)])
    found = replace(bundle, network=network).predict(Record(waves.astype(np.float32), 100, bundle.spec.leads))
    assert not found.refused
    assert len(seen) > n > 0
    assert all(facts is None for facts in seen)


def test_every_class_is_among_the_calibration_records():
    targets = np.zeros((1000, 3), np.float32)
    targets[[7, 500], [0, 1]] = 1
    targets[::2, 2] = 1
    for seed in range(20):
        rows = draw_rows(targets, ("a", "b", "c"), 10, np.random.default_rng(seed))
        assert len(set(rows.tolist())) == 10
        assert (targets[rows] == 1).any(axis=0).all()
    with pytest.raises(DatasetError, match="no training record of class b for calibration"):
        draw_rows(targets[:100], ("a", "b", "c"), 10, np.random.default_rng(0))


def test_a_proof_counts_what_moved(exported, dataset_folder):
    bundle = load_bundle(exported)
    plain = _validation(bundle, dataset_folder)
    same = prove(plain, plain, bundle.decisions, n_resamples=200)
    assert same["good"]
    assert same["flips"]["decisions"] == 0
    assert same["macro_auroc"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    upside_down = replace(plain, probabilities=1 - plain.probabilities)
    worse = prove(plain, upside_down, bundle.decisions, n_resamples=200)
    assert not worse["good"]
    assert worse["macro_auroc"]["difference"]["high"] < 0
    assert worse["flips"]["records"] > 0
    assert sum(worse["flips"]["per_class"]) == worse["flips"]["decisions"]
    empty = replace(plain, targets=np.zeros_like(plain.targets))
    with pytest.raises(DatasetError, match="no class has both a positive and a negative record"):
        prove(empty, empty, bundle.decisions)


def test_formats_are_split_at_commas():
    assert parse_formats(" int8,web, int8") == ("int8", "web")
    assert all(form.module for form in formats.FORMATS.values())


# Slimming


def test_a_pruned_model_that_was_refused_is_taken_as_it_is_when_more_is_allowed(trained, tmp_path):
    with pytest.raises(
        BundleError,
        match=r"001: macro AUROC .*more than the -1 allowed; prune less.* larger --max-drop takes this run as it is",
    ):
        slim(trained, ratio=0.5, epochs=1, runs=tmp_path, max_drop=-1, n_resamples=100)
    run = tmp_path / "plain-pruned50" / "001"
    assert not load_bundle(run).about["slimmed"]["proof"]["good"]
    arguments = ["--to", "int8", "--prune", "0.5", "--finetune", "1", "--max-drop", "0.5", "--n-resamples", "100"]
    done = CliRunner().invoke(app, ["export", str(trained), *arguments, "--runs", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"this training is done: {run} has the same recipe, weights and records" in done.stderr.replace("\n", "")
    assert [path.name for path in run.parent.iterdir()] == ["001"]
    bundle = load_bundle(run)
    assert f"bundle  {bundle.path}\nnext    einthoven predict {bundle.path} my-ecg.csv --backend int8" in done.stdout
    before, after = bundle.about["slimmed"]["n_parameters"]
    assert after == bundle.about["network"]["n_parameters"] < before / 2
    assert bundle.about["slimmed"]["proof"]["good"]
    assert bundle.about["artefacts"]["int8"]["proof"]["n_records"] > 10
    card = (bundle.path / "README.md").read_text()
    assert f"Made from plain by training on: {before:,} parameters became {after:,}." in card
