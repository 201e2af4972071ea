import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from einthoven.bundle import digest_of, list_pretrained, load_bundle, to_probabilities
from einthoven.bundling import save_bundle, update_bundle
from einthoven.corpora.synthetic import example_record
from einthoven.decisions import Plan, Rule
from einthoven.errors import BundleError, RecordError
from einthoven.leads import TWELVE_LEADS
from einthoven.models import Classifier, Scaling, create_model, list_models
from einthoven.record import Record
from einthoven.spec import SignalSpec
from einthoven.workflow.heartbeats import judge_beats, judges_beats

CLASSES = ["A", "B", "C"]
UNFITTED = Plan(tuple(CLASSES), "multilabel", "platt", Rule("f1"), 0.1, {}).unfitted().to_dict()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    model = Classifier(Scaling([0.0], [0.2]), create_model("resnet1d_wang", 12, 3, width=16)).eval()
    about = {
        "name": "tiny",
        "task": {"name": "superdiagnostic", "kind": "multilabel", "classes": CLASSES, "descriptions": {"A": "first"}},
        "spec": SignalSpec().to_dict(),
        "window": {"length": 250, "stride": 125, "aggregate": "mean"},
        "network": {"name": "resnet1d_wang", "options": {"width": 16}, "n_leads": 12, "n_classes": 3, "n_scales": 1},
        **UNFITTED,
        "thresholds": {"method": "f1", "values": {"A": 0.0, "B": 1.0, "C": None}},
        "provenance": {"dataset": "none"},
    }
    return save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", model, about)


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made.path, tmp_path / "tiny")
    return tmp_path / "tiny"


def rewrite(folder, about):
    """Write ``bundle.json`` with a checksum that fits: what only its maker could do."""
    plain = {key: value for key, value in about.items() if key != "sha256"}
    (folder / "bundle.json").write_text(json.dumps({**plain, "sha256": digest_of(plain)}))


def _ecg(seconds=10.0, fs=500.0, leads=TWELVE_LEADS):
    t = np.arange(int(seconds * fs)) / fs
    beat = np.exp(-(((t % 0.8) - 0.4) ** 2) / 0.0004) + 0.2 * np.exp(-(((t % 0.8) - 0.6) ** 2) / 0.002)
    gains = np.linspace(-0.7, 1.2, len(leads))
    return Record(np.array([g * beat for g in gains], dtype=np.float32), fs, tuple(leads), record_id="ecg")


def test_torch_and_onnx_give_the_same_probabilities(made):
    x = np.random.default_rng(0).normal(size=(9, 12, 250)).astype(np.float32)
    other = load_bundle(made.path, backend="torch")
    np.testing.assert_allclose(made.scores(x), other.scores(x), atol=1e-4)
    assert made.scores(x).shape == (9, 3)


def test_the_graph_names_no_path_of_the_machine_that_made_it(made):
    for name in ("model.onnx", "bundle.json", "README.md"):
        for path in (made.path / name, load_bundle("ptbxl-superdiagnostic").path / name):
            if path.is_file():
                content = path.read_bytes()
                assert b"site-packages" not in content
                assert b'.py"' not in content


def test_what_is_no_record_is_refused_with_the_way_to_make_one(made):
    with pytest.raises(RecordError, match=r"got str; read a file with einthoven.read_record\(path\)"):
        made.predict("ecg.csv")
    with pytest.raises(
        RecordError, match=r"got ndarray of shape \(12, 5000\); .*einthoven.Record\(signal, fs, leads\)"
    ):
        made.predict(_ecg().signal)


def test_a_model_shows_itself_in_a_few_lines(made):
    assert len(repr(made)) < 2000
    assert "provenance" not in repr(made)


def test_findings_carry_probability_threshold_and_decision(made):
    prediction = made.predict(_ecg())
    assert [f.present for f in prediction.findings] == [True, False, None]
    assert prediction.findings[0].description == "first"
    assert not prediction.refused
    plain = json.loads(json.dumps(prediction.to_dict()))
    assert [f["class"] for f in plain["findings"]] == CLASSES


def test_the_rate_of_the_record_does_not_matter(made):
    p = [[f.probability for f in made.predict(_ecg(fs=fs)).findings] for fs in (500.0, 1000.0, 257.0)]
    np.testing.assert_allclose(p[0], p[1], atol=0.02)
    np.testing.assert_allclose(p[0], p[2], atol=0.05)


def test_derivable_leads_are_derived_and_others_refused_by_name(made):
    whole = _ecg()
    limb = np.stack([whole.signal[0], whole.signal[1], *whole.signal[6:]])
    eight = Record(limb, 500.0, ("I", "II", *TWELVE_LEADS[6:]))
    assert made.predict(eight).notes == ("derived from the other limb leads: III, aVR, aVL, aVF",)
    three = Record(whole.signal[:3], 500.0, TWELVE_LEADS[:3])
    refused = made.predict(three)
    assert refused.refused
    assert "missing leads V1, V2, V3, V4, V5, V6" in refused.flags[0].text
    assert refused.findings == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda r: r.with_(signal=r.signal * 1000), "wrong_unit"),
        (lambda r: r.with_(signal=r.signal[:, :900]), "too_short"),
        (
            lambda r: r.with_(signal=np.where(np.arange(5000) < 4000, np.nan, r.signal).astype(np.float32)),
            "missing_samples",
        ),
        (lambda r: r.with_(signal=r.signal * 0), "flat"),
        (lambda r: r.with_(unit="normalised"), "does_not_conform"),
        (lambda r: r.with_(signal=r.signal + np.float32(300)), "offset"),
        (lambda r: r.with_(fs=45.0), "low_rate"),
        (lambda r: r.with_(signal=np.where(np.arange(12)[:, None] < 6, 0, r.signal).astype(np.float32)), "flat_leads"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(made, change, code):
    prediction = made.predict(change(_ecg()))
    assert prediction.refused
    assert [flag.code for flag in prediction.flags] == [code]


def test_a_record_shorter_than_the_window_is_flagged(made):
    prediction = made.predict(_ecg(seconds=2.2))
    assert [flag.code for flag in prediction.flags] == ["padded"]
    assert len(prediction.findings) == 3


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "probe.safetensors"])
def test_an_altered_or_absent_file_is_refused(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: its checksum differs"):
        load_bundle(copy)
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        load_bundle(copy)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_weights_that_load_but_answer_otherwise_are_refused(copy, made, backend):
    from einthoven.files import sha256_of
    from einthoven.models.weights import save_weights

    torch.manual_seed(1)
    other = Classifier(Scaling([0.0], [0.2]), create_model("resnet1d_wang", 12, 3, width=16)).eval()
    save_weights(copy / "model.safetensors", other)
    other_bundle = save_bundle(copy.parent / "other", other, {**made.about})
    shutil.copy(other_bundle.path / "model.onnx", copy / "model.onnx")
    about = json.loads((copy / "bundle.json").read_text())
    rewrite(copy, about | {"files": {name: sha256_of(copy / name) for name in about["files"]}})
    with pytest.raises(BundleError, match="answers the stored probe with logits off by"):
        load_bundle(copy, backend=backend)


def test_other_formats_and_places_are_refused(copy, tmp_path):
    about = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps(about | {"classes": ["C", "B", "A"]}))
    with pytest.raises(BundleError, match="bundle.json: its checksum differs"):
        load_bundle(copy)
    rewrite(copy, about | {"format_version": 9})
    with pytest.raises(BundleError, match="bundle format 9 is not 2"):
        load_bundle(copy)
    rewrite(copy, {k: v for k, v in about.items() if k != "window"})
    with pytest.raises(BundleError, match="incomplete or altered"):
        load_bundle(copy)
    with pytest.raises(BundleError, match="no bundle 'ptbxl-superdiagnosti'"):
        load_bundle("ptbxl-superdiagnosti")
    with pytest.raises(BundleError, match="no bundle.json in this folder"):
        load_bundle(tmp_path)
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "recipe.yaml").write_text("name: x")
    with pytest.raises(BundleError, match=f"a folder of runs; name one of them, as {tmp_path / '001'}"):
        load_bundle(tmp_path)
    (tmp_path / "recipe.yaml").write_text("name: x")
    onward = rf"go on with  einthoven train {tmp_path / 'recipe.yaml'} --runs {tmp_path.parents[1]}"
    with pytest.raises(BundleError, match=f"an unfinished run, which has no bundle yet; {onward}"):
        load_bundle(tmp_path)


def test_thresholds_can_be_replaced_and_the_rest_stays(copy):
    bundle = update_bundle(
        load_bundle(copy), {"thresholds": {"method": "f1", "values": dict.fromkeys(CLASSES, 0.3)}}, "# card"
    )
    assert bundle.thresholds["C"] == 0.3
    assert (copy / "README.md").read_text() == "# card"


def test_predicting_loads_neither_torch_nor_pandas_nor_scipy_signal(made, tmp_path):
    ecg = _ecg()
    np.savetxt(tmp_path / "e.csv", ecg.signal.T, delimiter=",", header=",".join(ecg.leads), comments="", fmt="%.4f")
    code = (
        "import sys, einthoven;"
        f"r = einthoven.read_record({str(tmp_path / 'e.csv')!r}, fs=500);"
        f"print(len(einthoven.load_bundle({str(made.path)!r}).predict(r).findings),"
        "[m for m in ('torch', 'pandas', 'scipy.signal', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3 []"


def test_softmax_sums_to_one_and_sigmoid_is_per_class():
    z = np.array([[0.0, 2.0, -1.0]], np.float32)
    assert to_probabilities(z, "multiclass").sum() == pytest.approx(1)
    assert to_probabilities(z, "multilabel")[0, 0] == 0.5


@pytest.mark.parametrize("name", list_pretrained())
def test_every_pretrained_bundle_loads_and_has_a_card(name):
    bundle = load_bundle(name)
    card = (bundle.path / "README.md").read_text()
    for words in ("Not a medical device", "Data and licence", "doi.org", "Limits", "Macro AUROC", "```yaml"):
        assert words in card
    if judges_beats(bundle):
        assert "einthoven beats" in card
        assert judge_beats(bundle, example_record("NORM")).counts()["N"] > 5
    else:
        assert "CC BY 4.0" in card
        assert len(bundle.predict(_ecg()).findings) == len(bundle.classes)
    assert load_bundle(name, backend="torch").classes == bundle.classes


def test_a_multi_class_model_decides_for_the_likeliest_class(made, copy):
    about = json.loads((copy / "bundle.json").read_text())
    about["task"]["kind"] = "multiclass"
    about["thresholds"]["values"] = dict.fromkeys(CLASSES, 0.01)
    rewrite(copy, about)
    findings = load_bundle(copy).predict(_ecg()).findings
    assert sum(f.probability for f in findings) == pytest.approx(1)
    assert [f.present for f in findings] == [f.probability == max(g.probability for g in findings) for f in findings]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda r: r.with_(signal=r.signal + np.float32(2)), "offset"),
        (lambda r: r.with_(signal=r.signal * np.float32(0.25)), "amplitude"),
        (lambda r: r.with_(fs=90.0), "low_rate"),
    ],
)
def test_what_is_odd_is_flagged_and_still_judged(made, change, code):
    prediction = made.predict(change(_ecg()))
    assert not prediction.refused
    assert [flag.code for flag in prediction.flags] == [code]


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_architecture_becomes_a_bundle_with_the_same_answers(name, made, tmp_path):
    torch.manual_seed(0)
    model = Classifier(Scaling([0.0], [0.2]), create_model(name, 12, 3)).eval()
    network = {"name": name, "options": {}, "n_leads": 12, "n_classes": 3, "n_scales": 1}
    about = {key: value for key, value in made.about.items() if key not in ("format_version", "files")}
    save_bundle(tmp_path / name, model, {**about, "network": network})  # refuses a graph that answers otherwise
    x = np.random.default_rng(0).normal(size=(5, 12, 250)).astype(np.float32)
    pair = [load_bundle(tmp_path / name, backend=backend).scores(x) for backend in ("onnx", "torch")]
    np.testing.assert_allclose(*pair, atol=1e-4)


def test_a_model_of_beats_refuses_a_recording(made):
    beats = dataclasses.replace(made, about={**made.about, "provenance": {"dataset": "mitdb", "record_s": 0.75}})
    prediction = beats.predict(_ecg())
    assert [flag.code for flag in prediction.flags] == ["no_beat"]
    assert "single beats cut out around their R peak (0.75 s), not a recording of 10.0 s" in prediction.flags[0].text
    assert prediction.refused
