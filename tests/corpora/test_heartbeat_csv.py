"""The published heartbeat tables: rows, labels, padding and folds, and every fault with file and line."""

import numpy as np
import pytest

from einthoven.corpora import open_corpus
from einthoven.dataset import MISSING
from einthoven.errors import DatasetError, RecordError
from einthoven.labels import make_task
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec

LABELS = [0] * 20 + [1] * 5 + [2] * 6 + [3] * 2 + [4] * 7


def write_table(folder, name, labels, seed=0):
    """Rows as numpy writes the published ones, of different length, filled up with zeros."""
    rng = np.random.default_rng(seed)
    rows = rng.uniform(0.01, 1, (len(labels), 187))
    lengths = rng.integers(60, 188, len(labels))
    rows[np.arange(187) >= lengths[:, None]] = 0
    rows[:, 5] = 0  # a zero within a beat is a sample
    np.savetxt(folder / name, np.column_stack([rows, labels]), delimiter=",")
    return rows, lengths


def test_rows_become_beats_with_their_class_and_fold(tmp_path):
    rows, lengths = write_table(tmp_path, "mitbih_train.csv", LABELS)
    write_table(tmp_path, "mitbih_test.csv", [0, 4, 2], seed=1)
    corpus = open_corpus("heartbeat-csv", tmp_path)
    assert len(corpus.entries) == 43
    assert [entry.record_id for entry in corpus.entries[39:41]] == ["mitbih_train-000040", "mitbih_test-000001"]
    assert {(entry.patient_id, entry.source) for entry in corpus.entries} == {(None, "MIT-BIH")}
    assert {entry.fold for entry in corpus.entries[40:]} == {10}
    folds = np.array([entry.fold for entry in corpus.entries[:40]])
    assert [np.bincount(folds[:20], minlength=10).tolist()] == [[0, 3, 3, 2, 2, 2, 2, 2, 2, 2]]
    task = make_task("aami", corpus.label_table)
    targets = task.targets([entry.statements for entry in corpus.entries])
    assert ["NSVFQ".index(task.classes[k]) for k in targets.argmax(axis=1)] == [*LABELS, 0, 4, 2]
    assert any("patients are unknown in these files and stand on both sides" in note for note in corpus.notes)
    assert (corpus.label_system, corpus.spec) == ("aami", SignalSpec(leads=("MLII",), fs=125, unit="normalised"))
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    for row in range(40):
        signal = dataset.signal(row)[0]
        assert np.isnan(signal[lengths[row] :]).all()
        np.testing.assert_allclose(signal[: lengths[row]], rows[row, : lengths[row]], atol=5.1e-4)
    assert dataset.features().names == ("beat_length_s",)
    assert dataset.features().values[:40, 0] == pytest.approx(lengths / 125)


def test_both_databases_lie_in_one_dataset_under_two_tasks(tmp_path):
    write_table(tmp_path, "mitbih_train.csv", LABELS)
    write_table(tmp_path, "ptbdb_normal.csv", [0] * 12)
    write_table(tmp_path, "ptbdb_abnormal.csv", [1] * 15)
    corpus = open_corpus("heartbeat-csv", tmp_path, lead="ii")
    assert corpus.spec.leads == ("II",)
    assert make_task("ptbdb", corpus.label_table).classes == ("abnormal", "normal")
    assert make_task("aami", corpus.label_table).classes == ("F", "N", "Q", "S", "V")
    ptb = [entry for entry in corpus.entries if entry.source == "PTB"]
    assert [dict(entry.statements) for entry in (ptb[0], ptb[-1])] == [{"normal": None}, {"abnormal": None}]
    assert {entry.fold for entry in ptb[:12]} == set(range(1, 11))
    assert prepare(corpus, tmp_path / "d", corpus.spec, workers=1).spec.leads == ("II",)


def test_the_ptb_tables_alone_have_no_beat_classes(tmp_path):
    write_table(tmp_path, "ptbdb_normal.csv", [0] * 3)
    corpus = open_corpus("heartbeat-csv", tmp_path)
    assert (corpus.label_system, set(corpus.label_table)) == ("ptbdb", {"normal"})


def test_several_processes_give_the_same_dataset(tmp_path, monkeypatch):
    from einthoven import preparation

    monkeypatch.setattr(preparation, "_SHARD_BYTES", 187 * 2 * 15)
    write_table(tmp_path, "mitbih_train.csv", LABELS)
    corpus = open_corpus("heartbeat-csv", tmp_path)
    datasets = [prepare(corpus, tmp_path / str(workers), corpus.spec, workers=workers) for workers in (1, 2)]
    assert len(datasets[0].shards) == 3
    assert datasets[0].shards == datasets[1].shards


def test_a_row_of_zeros_is_kept_and_said(tmp_path):
    np.savetxt(tmp_path / "mitbih_train.csv", np.zeros((2, 188)), delimiter=",")
    corpus = open_corpus("heartbeat-csv", tmp_path)
    assert "2 rows hold nothing but zeros" in corpus.notes
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    assert (dataset.open_shards()[0] == MISSING).all()


def damage(text, cell, line=3, column=7):
    lines = text.split("\n")
    cells = lines[line - 1].split(",")
    cells[column - 1 : column] = cell
    lines[line - 1] = ",".join(cells)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: damage(text, []), r"mitbih_train.csv, line 3: has 187 columns; the published files have 187"),
        (lambda text: damage(text, ["0", "0"]), r"line 3: has 189 columns"),
        (lambda text: "\n".join(line + ",0" for line in text.split("\n")), r"line 1: has 189 columns"),
        (lambda text: "\n".join(line[:-25] for line in text.split("\n")), r"line 1: has 187 columns"),
        (lambda text: text + "\n0,0\n", r"line 41: has 1 columns"),
        (lambda text: damage(text, ["0.5x"]), r"line 3, column 7: '0.5x' is not a number"),
        (lambda text: damage(text, [""]), r"line 3, column 7: '' is not a number"),
        (lambda text: ",".join(f"t{k}" for k in range(188)) + "\n" + text, r"line 1, column 1: 't0' is not a number"),
        (lambda text: damage(text, ["nan"]), r"line 3: has samples outside 0 to 1"),
        (lambda text: damage(text, ["-0.2"]), r"line 3: has samples outside 0 to 1"),
        (lambda text: damage(text, ["1.5"]), r"line 3: has samples outside 0 to 1, the scale of the published files"),
        (lambda text: damage(text, ["5"], column=188), r"line 3: the label 5 is none of 0, 1, 2, 3, 4"),
        (lambda text: damage(text, ["0.5"], column=188), r"line 3: the label 0.5 is none of"),
        (lambda text: "", r"mitbih_train.csv: cannot be read: Empty CSV file"),
        (lambda text: text[: len(text) // 2 - 40], r"line 20: has \d+ columns"),
    ],
)
def test_what_is_not_as_published_is_named_with_file_and_line(tmp_path, change, message):
    path = tmp_path / "mitbih_train.csv"
    write_table(tmp_path, path.name, LABELS)
    path.write_text(change(path.read_text()))
    with pytest.raises(DatasetError, match=message):
        open_corpus("heartbeat-csv", tmp_path)


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "mitbih_test.csv").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DatasetError, match=r"mitbih_test.csv, line 1: has \d+ columns"):
        open_corpus("heartbeat-csv", tmp_path)


def test_a_label_of_the_other_ptb_file_is_refused(tmp_path):
    write_table(tmp_path, "ptbdb_normal.csv", [0, 0, 1])
    with pytest.raises(DatasetError, match=r"ptbdb_normal.csv, line 3: the label 1 is none of 0"):
        open_corpus("heartbeat-csv", tmp_path)


def test_a_folder_without_the_tables_says_which_are_meant(tmp_path):
    with pytest.raises(DatasetError, match=r"none of mitbih_train.csv, mitbih_test.csv, ptbdb_normal.csv, ptbdb_abn"):
        open_corpus("heartbeat-csv", tmp_path)


def test_tables_that_change_after_the_listing_are_named(tmp_path):
    write_table(tmp_path, "mitbih_train.csv", LABELS)
    corpus = open_corpus("heartbeat-csv", tmp_path)
    write_table(tmp_path, "mitbih_train.csv", LABELS[:10])
    with pytest.raises(RecordError, match=r"line 11 has vanished since the file was listed"):
        prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    (tmp_path / "mitbih_train.csv").unlink()
    with pytest.raises(RecordError, match=r"mitbih_train.csv: cannot be read"):
        prepare(corpus, tmp_path / "e", corpus.spec, workers=1)
