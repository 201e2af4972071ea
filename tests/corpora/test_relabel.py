from pathlib import Path

import pytest

from einthoven.corpora import Corpus, Entry, open_corpus
from einthoven.corpora.relabel import relabel
from einthoven.errors import DatasetError
from einthoven.labels import Statement, load_system, make_task


def corpus(system, *statements, extra=None):
    table = load_system(system).table_for(
        dict.fromkeys(code for found in statements for code in found if code not in (extra or {}))
    )
    entries = [Entry(str(k), Path(f"{k}.dat"), patient_id="p", statements=s) for k, s in enumerate(statements)]
    return Corpus("some", entries, system, table | (extra or {}), "nobody", notes=("first",))


def test_statements_table_and_system_are_changed_and_the_rest_is_kept():
    before = corpus("scp", {"AFIB": 0.0, "HVOLT": 0.0}, {"HVOLT": 0.0}, {"IMI": 35.0})
    after, report = relabel(before, "snomed")
    assert [entry.statements for entry in after.entries] == [{"164889003": 0.0}, {}, {"164865005": 35.0}]
    assert after.label_system == "snomed"
    assert after.label_table == load_system("snomed").table_for(["164889003", "164865005"])
    assert [(entry.record_id, entry.patient_id) for entry in after.entries] == [(str(k), "p") for k in range(3)]
    assert after.notes[:2] == ("first", report.summary())
    assert "counts as a negative of the classes that the lost code would have had" in after.notes[2]
    assert (report.left_empty, [one.code for one in report.lost]) == (1, ["HVOLT"])
    assert before.label_system == "scp"


def test_codes_that_only_the_corpus_knows_are_lost_by_name():
    after, report = relabel(corpus("snomed", {"999": None}, extra={"999": Statement("SNOMED CT 999")}), "scp")
    assert after.label_table == {}
    assert report.lost[0].name == "SNOMED CT 999"


def test_the_same_system_or_one_without_a_map_is_refused():
    with pytest.raises(DatasetError, match="some: has labels of the system 'scp' already"):
        relabel(corpus("scp", {"AFIB": None}), "scp")
    with pytest.raises(DatasetError, match="no map of labels from 'scp' to 'aha'"):
        relabel(corpus("scp", {"AFIB": None}), "aha")


def test_ptb_xls_layout_becomes_a_challenge_task(corpus_folder):
    after, _ = relabel(open_corpus("ptb-xl", corpus_folder), "snomed")
    task = make_task("cinc2021", after.label_table)
    targets = task.targets([entry.statements for entry in after.entries])
    assert {"AF", "NSR"} <= set(task.classes)
    assert targets[:, task.classes.index("NSR")].sum() > 0


@pytest.mark.real
def test_the_sph_sample_can_be_judged_with_the_challenges(real_data):
    before = open_corpus("sph", real_data / "cinc2021" / "SPH", missing="skip")
    after, report = relabel(before, "snomed")
    assert report.left_empty == 0
    assert set(make_task("dl-ecg-17", after.label_table).classes) == {"NSR", "RBBB", "SA", "SB"}
