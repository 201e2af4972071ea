"""MIT-BIH beats: the published counts, folds and patients, windows that reach over the ends, and every damage named."""

from collections import Counter

import numpy as np
import pytest
from mit_writer import FS, regular, write_record

from einthoven.corpora import open_corpus
from einthoven.corpora.mitdb import DS1, DS2, RR_FEATURES, rr_features
from einthoven.dataset import open_dataset
from einthoven.errors import ConformError, DatasetError
from einthoven.labels import make_task
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec
from einthoven.splits import check_no_leak, rows_of_folds
from einthoven.training.recipe import Folds, parse_recipe

ROLES = {"train": range(1, 9), "validation": (9,), "test": (10,)}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mitdb"
    root.mkdir()
    return root


def counts_of(corpus, folds):
    task = make_task("aami", corpus.label_table)
    targets = task.targets([entry.statements for entry in corpus.entries if entry.fold in folds])
    return dict(zip(task.classes, targets.sum(axis=0).astype(int).tolist(), strict=True))


@pytest.mark.real
def test_ds1_has_the_published_beats_and_both_its_parts_have_every_class(real_data):
    corpus = open_corpus("mitdb", real_data / "mitdb")
    assert counts_of(corpus, range(1, 10)) == {"N": 45866, "S": 944, "V": 3788, "F": 415, "Q": 8}
    assert counts_of(corpus, [9]) == {"N": 11509, "S": 204, "V": 1035, "F": 30, "Q": 2}
    assert counts_of(corpus, range(1, 9)) == {"N": 34357, "S": 740, "V": 2753, "F": 385, "Q": 6}
    assert {entry.patient_id for entry in corpus.entries if entry.fold in range(1, 10)} == set(DS1)
    assert len(corpus.entries) == len({entry.record_id for entry in corpus.entries})
    ages = {entry.patient_id: (entry.age, entry.sex) for entry in corpus.entries}
    assert ages["101"] == (75, "female")
    assert ages["201"] == (68, "male")


@pytest.mark.real
def test_a_real_beat_is_its_stretch_of_the_lead_that_was_asked_for(real_data, tmp_path):
    corpus = open_corpus("mitdb", real_data / "mitdb")
    few = type(corpus)(
        **{name: getattr(corpus, name) for name in corpus.__slots__ if name != "features"}
        | {"entries": [entry for entry in corpus.entries if entry.path.stem == "114"]}
    )
    dataset = prepare(few, tmp_path / "d", few.spec, workers=1)
    raw = np.fromfile(real_data / "mitdb" / "114.dat", np.uint8).reshape(-1, 3).astype(int)
    second = ((raw[:, 1] & 0xF0) << 4 | raw[:, 2]) - 1024  # MLII is the second signal of 114
    for row in (3, 900, len(few.entries) - 1):
        sample = int(few.entries[row].record_id[4:])
        want = second[sample - 90 : sample + 180] / 200
        np.testing.assert_allclose(dataset.signal(row)[0, : len(want)], want, atol=1e-6)


def test_every_beat_is_an_entry_and_nothing_else_is(folder):
    write_record(folder, "100", [(18, "+"), (77, "N"), (370, "A"), (500, "~"), (662, "V")])
    write_record(folder, "106", regular("Nj/"), comments=("-1 F 2 x",))
    corpus = open_corpus("mitdb", folder)
    assert [entry.record_id for entry in corpus.entries] == [
        *("100-000077", "100-000370", "100-000662"),
        *("106-000050", "106-000350", "106-000650"),
    ]
    assert [dict(entry.statements) for entry in corpus.entries[:3]] == [{"N": None}, {"A": None}, {"V": None}]
    first, last = corpus.entries[0], corpus.entries[-1]
    assert (first.patient_id, first.age, first.sex, first.fold, first.source) == ("100", 69, "male", 10, "MIT-BIH")
    assert (last.patient_id, last.age, last.sex, last.fold) == ("106", None, "female", 1)
    assert (corpus.label_system, corpus.spec) == ("mitbih", SignalSpec(leads=("MLII",), fs=360))
    assert set(corpus.label_table) == set("NAVj/")
    assert make_task("aami", corpus.label_table).classes == ("N", "Q", "S", "V")
    assert any("46 of the 48 published records are not in the folder: 101" in note for note in corpus.notes)


def test_beats_near_the_ends_are_kept_with_what_was_recorded(folder, tmp_path):
    signal = write_record(folder, "101", [(10, "N"), (5000, "N"), (14390, "V")])
    corpus = open_corpus("mitdb", folder)
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    assert dataset.records.length.tolist() == [270] * 3
    first, middle, last = (dataset.signal(row)[0] for row in range(3))
    assert np.isnan(first[:80]).all()
    np.testing.assert_allclose(first[80:], signal[0, :190], atol=6e-4)
    np.testing.assert_allclose(middle, signal[0, 4910:5180], atol=6e-4)
    assert np.isnan(last[100:]).all()
    np.testing.assert_allclose(last[:100], signal[0, 14300:], atol=6e-4)


def test_windows_and_leads_are_the_users(folder, tmp_path):
    signal = write_record(folder, "101", regular("NNN", first=1000))
    corpus = open_corpus("mitdb", folder, before_s="0.1", after_s="1")
    dataset = prepare(corpus, tmp_path / "d", SignalSpec(leads=("V1", "MLII"), fs=360), workers=1)
    np.testing.assert_allclose(dataset.signal(1), signal[::-1, 1300 - 36 : 1300 + 360], atol=6e-4)
    write_record(folder, "124", regular("NNN"), leads=("MLII", "V4"))
    with pytest.raises(ConformError, match=r"124: missing lead V1, which cannot be derived; the record has MLII, V4"):
        prepare(open_corpus("mitdb", folder), tmp_path / "e", SignalSpec(leads=("MLII", "V1"), fs=360), workers=1)


def test_records_with_paced_beats_are_left_out_unless_wanted(folder, tmp_path):
    write_record(folder, "102", regular("//N"), leads=("V5", "V2"))
    write_record(folder, "107", regular("//V"))
    write_record(folder, "101", regular("NNN"))
    corpus = open_corpus("mitdb", folder)
    assert {entry.patient_id for entry in corpus.entries} == {"101"}
    assert "records with paced beats left out: 102, 107 (keep them with --set paced=include; " in corpus.notes[0]
    every = open_corpus("mitdb", folder, paced="include")
    assert {entry.patient_id: entry.fold for entry in every.entries} == {"101": 9, "102": None, "107": None}
    with pytest.raises(ConformError, match="102: missing lead MLII"):
        prepare(every, tmp_path / "d", every.spec, workers=1)
    dataset = prepare(every, tmp_path / "d", every.spec, workers=1, skip_unreadable=True, overwrite=True)
    assert set(dataset.records.patient_id) == {"101", "107"}


def test_the_folds_are_the_published_protocol_and_its_shared_patient_is_stated(folder):
    for name in (*DS1, *DS2):
        write_record(folder, name, regular("NV"), seconds=2)
    corpus = open_corpus("mitdb", folder)
    people = [entry.patient_id for entry in corpus.entries]
    rows = {role: rows_of_folds([entry.fold for entry in corpus.entries], folds) for role, folds in ROLES.items()}
    names = {role: {corpus.entries[row].path.stem for row in chosen} for role, chosen in rows.items()}
    assert (len(names["train"]), len(names["validation"])) == (16, 6)
    assert names["train"] | names["validation"] == set(DS1)
    assert names["test"] == set(DS2)
    assert {tuple(getattr(Folds(), role)) for role in ROLES} == {tuple(folds) for folds in ROLES.values()}
    assert "202" not in people
    assert check_no_leak(people, rows, corpus.shared_patients) == 0
    with pytest.raises(DatasetError, match="patient 201 is in both train and test"):
        check_no_leak(people, rows)


def test_rr_intervals_are_those_around_each_beat_and_nan_where_there_is_none():
    t = np.array([0, 1.0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5])
    values = dict(zip(RR_FEATURES, rr_features((t * FS).astype(np.int64), FS).T.tolist(), strict=True))
    record = 11.5 / 12
    assert values["rr_previous_s"][1:] == pytest.approx([1, 0.5] + [1] * 10)
    assert values["rr_next_s"][:-1] == pytest.approx([1, 0.5] + [1] * 10)
    assert values["rr_local_mean_s"][1:4] == pytest.approx([1, 0.75, 2.5 / 3])
    assert values["rr_local_mean_s"][10:] == pytest.approx([0.95, 0.95, 1])
    assert values["rr_record_mean_s"] == pytest.approx([record] * 13)
    assert values["rr_previous_to_next"][1:-1] == pytest.approx([2, 0.5] + [1] * 9)
    assert values["rr_previous_to_local"][2] == pytest.approx(0.5 / 0.75)
    assert values["rr_previous_to_record"][2] == pytest.approx(0.5 / record)
    absent = {name: np.flatnonzero(np.isnan(column)).tolist() for name, column in values.items()}
    assert absent == {name: [0] for name in RR_FEATURES} | {
        "rr_next_s": [12],
        "rr_record_mean_s": [],
        "rr_previous_to_next": [0, 12],
    }


def test_rr_intervals_of_one_beat_or_of_beats_at_one_sample_are_missing_not_infinite():
    assert np.isnan(rr_features(np.array([5]), FS)).all()
    assert not np.isinf(rr_features(np.array([5, 5, 5, 9]), FS)).any()


def test_features_lie_beside_the_beats_they_belong_to(folder, tmp_path):
    write_record(folder, "101", regular("NNV"))
    write_record(folder, "106", [(100, "N"), (460, "~"), (820, "N")])
    corpus = open_corpus("mitdb", folder)
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    features = open_dataset(tmp_path / "d").features()
    assert features.names == RR_FEATURES
    assert features.values[:, 1] == pytest.approx([300 / FS, 300 / FS, np.nan, 2, np.nan], nan_ok=True)
    assert dataset.records.record_id[3] == "106-000100"


@pytest.mark.parametrize("kind", ["hea", "dat", "atr"])
def test_a_missing_file_is_named(folder, kind):
    write_record(folder, "101", regular("NNN"))
    write_record(folder, "106", regular("NNN"))
    (folder / f"106.{kind}").unlink()
    with pytest.raises(DatasetError, match=rf"record 106 lacks 106.{kind}; download it again"):
        open_corpus("mitdb", folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("hea", "106.hea: the signal line"),
        ("dat", "106.dat: the header asks for"),
        ("atr", "106.atr: ends without its end mark"),
    ],
)
def test_a_file_cut_short_is_named_before_anything_is_written(folder, kind, message):
    write_record(folder, "106", regular("NNN"))
    damaged = folder / f"106.{kind}"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(DatasetError, match=rf"record 106 cannot be read: .*{message}"):
        open_corpus("mitdb", folder)


def test_annotations_that_do_not_fit_the_record_are_refused(folder):
    write_record(folder, "106", [(100, "N"), (40 * FS, "N")])
    with pytest.raises(DatasetError, match=r"106.atr: annotates sample 14400, the record has 14400"):
        open_corpus("mitdb", folder)
    write_record(folder, "106", [(100, "+")])
    with pytest.raises(DatasetError, match=r"106.atr: annotates no beat"):
        open_corpus("mitdb", folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"before_s": "a bit"}, r"before_s=a bit: choose seconds from 0 to 30"),
        ({"after_s": "31"}, r"after_s=31: choose seconds from 0 to 30"),
        ({"before_s": "nan"}, r"before_s=nan: choose seconds"),
        ({"before_s": "0", "after_s": "0"}, r"a beat's window needs a length"),
        ({"paced": "yes"}, r"paced=yes: choose exclude or include"),
        ({"pace": "include"}, r"unknown option 'pace' \(did you mean 'paced'\?\)"),
    ],
)
def test_a_wrong_option_is_named(folder, options, message):
    write_record(folder, "101", regular("NNN"))
    with pytest.raises(DatasetError, match=message):
        open_corpus("mitdb", folder, **options)


def test_a_folder_without_these_records_says_what_is_wanted(folder):
    write_record(folder, "999", regular("NNN"))
    with pytest.raises(DatasetError, match=r"no record of the MIT-BIH Arrhythmia Database \(100.hea, 100.dat, 100.atr"):
        open_corpus("mitdb", folder)


@pytest.mark.slow
@pytest.mark.parametrize("crop_s", [0.75, 1.0])
def test_a_network_is_trained_and_judged_on_beats(folder, tmp_path, crop_s):
    from einthoven.workflow import evaluate, train

    class Silent:
        def step(self, *numbers):
            pass

        def epoch(self, row):
            pass

    for name in ("106", "108", "119", "124", "100", "103"):
        write_record(folder, name, regular("NNVNNNVNANNV" * 2, first=90))
    corpus = open_corpus("mitdb", folder)
    prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    recipe = parse_recipe(f"""
name: beats
data: {{dataset: {tmp_path / "d"}, task: aami, single_label: true, crop_s: {crop_s}}}
model: {{name: resnet1d_wang, options: {{width: 8}}}}
training: {{epochs: 2, batch_size: 16, precision: fp32, threads: 1, device: cpu}}
evaluation: {{n_resamples: 20}}
""")
    run = train(recipe, tmp_path / "runs", reporter=Silent())
    judged = evaluate(run.path, split="test").judgement
    assert (judged["n_records"], judged["n_patients"], judged["kind"]) == (48, 2, "multiclass")
    assert judged["classes"] == ["N", "S", "V"]
    assert Counter(open_dataset(tmp_path / "d").records.fold) == {1: 48, 9: 48, 10: 48}


def test_each_lead_of_a_record_can_be_an_entry_of_its_own(folder, tmp_path):
    signal = write_record(folder, "101", regular("NVN"), leads=("MLII", "V1"))
    write_record(folder, "106", regular("NN"), leads=("MLII", "V5"))
    corpus = open_corpus("mitdb", folder, lead="each")
    assert [entry.record_id for entry in corpus.entries[:4]] == [
        "101-MLII-000050",
        "101-MLII-000350",
        "101-MLII-000650",
        "101-V1-000050",
    ]
    assert corpus.features is not None
    assert len(corpus.features.values) == len(corpus.entries) == 10
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    assert dataset.spec.leads == ("any",)
    assert dataset.before_r_s == 0.25
    for row, lead in ((1, 0), (4, 1)):  # the ventricular beat in both leads
        np.testing.assert_allclose(dataset.signal(row)[0], signal[lead, 350 - 90 : 350 + 180], atol=2e-3)
