import numpy as np
import pytest

from einthoven.audit import audit_dataset, find_duplicates
from einthoven.dataset import MISSING, open_dataset
from einthoven.splits import write_split
from einthoven.workflow.splitting import make_split, usual_task

AF, SR = "164889003", "426783006"


def ecgs(n, seed=0, n_samples=250):
    """Signals of 12 leads with a slow drift, none like another."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(0, 40, (n, n_samples, 12)), axis=1) + rng.normal(0, 20, (n, n_samples, 12))
    return steps.round().astype(np.int16)


@pytest.fixture
def audited(make_dataset):
    """A function that audits 40 records of 20 patients in four folds, changed as asked."""

    def audit(split=None, **changes):
        usual = {"patient_id": [f"p{k // 2}" for k in range(40)], "fold": [k // 2 % 4 + 1 for k in range(40)]}
        signals = changes.pop("signals", ecgs(40))
        statements = changes.pop("statements", [[AF] if k % 4 == 0 else [SR] for k in range(40)])
        dataset = make_dataset(statements, signals=signals, **(usual | changes))
        if split:
            make_split(dataset, split)
        return audit_dataset(dataset, usual_task(dataset), split)

    return audit


def test_whole_patients_and_different_signals_are_no_leak(audited):
    found = audited()
    assert (found.verdict, found.leaks) == ("no leak", False)
    assert found.n_duplicates == {"exact": 0, "near": 0}


def test_a_patient_in_two_folds_is_a_leak_unless_published(audited):
    fold = [2, *(k // 2 % 4 + 1 for k in range(1, 40))]
    found = audited(fold=fold)
    assert found.verdict == "leak"
    assert found.crossing == {"p0": (1, 2)}
    assert found.why == "1 patients are in more than one fold"
    published = audited(fold=fold, shared_patients={"p0": "of one person"})
    assert published.verdict == "no leak"
    assert published.published == {"p0": "of one person"}


def test_equal_samples_in_two_folds_are_a_leak(audited):
    signals = ecgs(40)
    signals[2] = signals[39]
    found = audited(signals=signals)
    assert found.verdict == "leak"
    assert found.duplicates == (
        {"records": ["r2", "r39"], "patients": ["p1", "p19"], "folds": [2, 4], "correlation": 1.0},
    )


def test_equal_samples_within_a_fold_are_counted_and_no_leak(audited):
    signals = ecgs(40)
    signals[0] = signals[1]
    found = audited(signals=signals)
    assert (found.verdict, found.n_duplicates["exact"]) == ("no leak", 1)


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (-1.0, 200), (3.0, -500)])
def test_the_same_signal_with_other_gain_and_offset_is_a_leak(audited, gain, offset):
    signals = ecgs(40)
    signals[2] = (signals[39].astype(float) * gain + offset).round()
    found = audited(signals=signals)
    assert found.verdict == "leak"
    assert found.duplicates[0]["records"] == ["r2", "r39"]
    assert found.duplicates[0]["correlation"] == pytest.approx(np.sign(gain), abs=1e-3)


def test_no_pair_above_the_limit_is_missed_and_none_below_is_named(make_dataset):
    signals = ecgs(80).astype(float)
    rng = np.random.default_rng(1)
    for k in range(40):  # copies with more and more noise, on both sides of the limit
        noise = rng.normal(0, 1, signals[k].shape) * signals[k].std() * 0.001 * (k + 1) * 3
        signals[40 + k] = signals[k] + noise
    dataset = make_dataset([[SR]] * 80, signals=signals.round().astype(np.int16))
    unit = np.stack([dataset.signal(row).T for row in range(80)]).astype(np.float64)
    unit -= unit.mean(axis=1, keepdims=True)
    unit = unit.reshape(80, -1) / np.linalg.norm(unit.reshape(80, -1), axis=1, keepdims=True)
    expected = {(i, j) for i, j in np.argwhere(np.triu(np.abs(unit @ unit.T), k=1) > 0.999).tolist()}
    assert 5 < len(expected) < 40
    assert {(i, j) for i, j, _ in find_duplicates(dataset).near} == expected


def test_missing_stretches_and_flat_records_do_not_disturb(audited):
    signals = ecgs(40)
    signals[5, :, 3] = MISSING
    signals[6, 100:] = MISSING
    signals[10] = 7
    signals[11] = MISSING
    found = audited(signals=signals)
    assert found.verdict == "no leak"
    assert "2 records are flat and are compared with none." in found.notes


def test_short_records_are_searched_for_equal_samples_only(audited):
    signals = ecgs(40, n_samples=90)
    signals[2] = signals[39] * 2
    found = audited(signals=signals)
    assert found.verdict == "no leak"
    assert any(note.startswith("40 records are shorter than 2 s") for note in found.notes)
    signals[2] = signals[39]
    assert audited(signals=signals).verdict == "leak"


def test_records_of_other_length_are_compared_with_their_like(audited):
    signals = [*ecgs(20), *ecgs(20, seed=1, n_samples=300)]
    signals[20] = signals[39] * 2
    assert audited(signals=signals).duplicates[0]["records"] == ["r20", "r39"]


def test_unknown_patients_are_said_to_be_unknown(audited):
    found = audited(patient_id=[None] * 40)
    assert (found.verdict, found.leaks) == ("patients unknown", False)
    assert found.why.startswith("40 records have no patient id")
    assert found.parts["folds"][0]["patients"] is None


def test_a_leak_by_design_is_one(audited):
    found = audited("random-beats")
    assert (found.verdict, found.leaks) == ("leaks by design", True)
    assert found.crossing


def test_records_without_folds_have_nothing_to_cross(audited):
    found = audited(fold=[None] * 40)
    assert found.verdict == "no folds"
    assert "40 records have no fold." in found.notes


def test_prevalence_is_that_of_counting(audited):
    statements = [[AF] if k < 10 else [SR] for k in range(40)]
    found = audited(statements=statements, source=["A"] * 20 + ["B"] * 20)
    fold = [k // 2 % 4 + 1 for k in range(40)]
    for part in found.parts["folds"]:
        here = [k for k in range(40) if fold[k] == part["name"]]
        assert part["prevalence"][AF] == pytest.approx(sum(k < 10 for k in here) / len(here))
        assert part["records"] == len(here)
    assert found.deviations["sources"] == {"part": "A", "class": AF, "prevalence": 0.5, "overall": 0.25}
    assert audited().deviations["sources"] is None


def test_a_split_of_an_earlier_state_is_remarked(make_dataset):
    dataset = make_dataset([[SR]] * 40, signals=ecgs(40))
    made = make_split(dataset, "kfold")
    companion = made.path.with_suffix(".json")
    companion.write_text(companion.read_text().replace("0" * 64, "1" * 64))
    notes = audit_dataset(dataset, usual_task(dataset), "kfold").notes
    assert "The split was made for another state of this dataset: its counts may differ." in notes


def test_a_split_without_a_companion_is_audited(make_dataset):
    dataset = make_dataset([[SR]] * 40, signals=ecgs(40))
    write_split(dataset.path / "splits" / "own.csv", dataset.records.record_id, [1, 2] * 20)
    assert audit_dataset(dataset, usual_task(dataset), "own").verdict == "no leak"


@pytest.mark.real
@pytest.mark.slow
def test_the_official_folds_of_ptbxl_do_not_leak(real_data, tmp_path):
    from einthoven.corpora import open_corpus
    from einthoven.preparation import prepare

    corpus = open_corpus("ptb-xl", real_data / "ptb-xl")
    prepare(corpus, tmp_path / "ptb-xl", corpus.spec)
    dataset = open_dataset(tmp_path / "ptb-xl")
    found = audit_dataset(dataset, usual_task(dataset))
    assert (found.verdict, found.n_duplicates) == ("no leak", {"exact": 0, "near": 0})
