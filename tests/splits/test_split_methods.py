from itertools import pairwise

import numpy as np
import pytest

from einthoven.corpora.mitdb import DS1, DS2
from einthoven.errors import DatasetError
from einthoven.splits import Members, Roles, list_methods, make_division


def members(n=60, *, per_patient=2, sources="A", seed=0, **changes):
    facts = {
        "record_id": [f"r{k}" for k in range(n)],
        "patient_id": [f"p{k // per_patient}" for k in range(n)],
        "source": [sources[k * len(sources) // n] for k in range(n)],
        "labels": (np.random.default_rng(seed).random((n, 2)) < 0.4).astype(float),
        "fold": [None] * n,
    }
    return Members(**{**facts, **changes})


def rows(division, folds):
    return {row for row, f in enumerate(division.fold) if f in folds}


def test_every_method_says_what_it_does():
    assert set(list_methods()) == {
        "kfold",
        "source-kfold",
        "shuffle",
        "nested",
        "random-beats",
        "leave-one-source-out",
        "official",
        "inter-patient",
    }
    assert all(text.endswith(".") for text in list_methods().values())


@pytest.mark.parametrize("method", ["kfold", "source-kfold"])
def test_each_fold_of_k_tests_once_and_the_next_one_validates(method):
    division = make_division(method, members(), folds=4, seed=1)
    assert [roles.test for roles in division.roles] == [(1,), (2,), (3,), (4,)]
    assert [roles.validation for roles in division.roles] == [(2,), (3,), (4,), (1,)]
    assert all({*r.train, *r.validation, *r.test} == {1, 2, 3, 4} for r in division.roles)


def test_two_folds_train_and_validate():
    assert make_division("kfold", members(), folds=2).roles == (Roles("all", (1,), (2,)),)


def test_shuffle_makes_two_or_three_parts():
    three = make_division("shuffle", members())
    assert three.roles == (Roles("all", (1,), (2,), (3,)),)
    assert len(rows(three, {1})) == 48
    assert make_division("shuffle", members(), shares=(0.75, 0.25)).roles == (Roles("all", (1,), (2,)),)
    with pytest.raises(DatasetError, match="4 shares: give two"):
        make_division("shuffle", members(), shares=(0.25,) * 4)


def test_nested_parts_lie_in_each_other_and_keep_validation_and_test():
    fold = [9 if k < 10 else 10 if k < 20 else k % 8 + 1 for k in range(120)]
    base = members(120, per_patient=1, fold=fold, roles=Roles("all", tuple(range(1, 9)), (9,), (10,)))
    division = make_division("nested", base, seed=2)
    parts = [rows(division, set(roles.train)) for roles in division.roles]
    assert [len(part) for part in parts] == [12, 25, 50, 100] or [len(part) for part in parts] == [13, 25, 50, 100]
    assert all(a < b for a, b in pairwise(parts))
    assert {roles.validation for roles in division.roles} == {(5,)}
    assert rows(division, {5}) == set(range(10))
    assert rows(division, {6}) == set(range(10, 20))
    assert parts[-1] == set(range(20, 120))


def test_nested_parts_of_a_corpus_without_folds_leave_a_tenth_each():
    division = make_division("nested", members(200), shares=(0.5,))
    assert [len(rows(division, {f})) for f in (1, 2, 3, 4)] == [80, 80, 20, 20]
    assert [roles.name for roles in division.roles] == ["train-0.5", "train-1"]


def test_nested_sizes_must_be_below_one_and_different():
    for shares in ((0.5, 0.5), (1.0,), (1.5, 0.5)):
        with pytest.raises(DatasetError, match="each must be between 0 and 1"):
            make_division("nested", members(), shares=shares)


def test_leaving_one_source_out_gives_twenty_triples_of_five_sources():
    each = make_division("leave-one-source-out", members(sources="CABED"), validation="each")
    assert len(each.roles) == 20
    assert {(r.test, r.validation) for r in each.roles} == {
        ((t,), (v,)) for t in range(1, 6) for v in range(1, 6) if t != v
    }
    assert all(len(r.train) == 3 for r in each.roles)
    assert list(each.names.values()) == list("ABCDE")
    assert each.fold[0] == 3
    following = make_division("leave-one-source-out", members(sources="CABED"))
    assert [(r.test, r.validation) for r in following.roles] == [((k,), (k % 5 + 1,)) for k in range(1, 6)]
    named = make_division("leave-one-source-out", members(sources="CABED"), validation="B")
    assert [(r.test, r.validation) for r in named.roles] == [((k,), (2,)) for k in (1, 3, 4, 5)]


def test_sources_must_be_two_and_the_validating_one_known():
    with pytest.raises(DatasetError, match=r"all records are of one source \(A\)"):
        make_division("leave-one-source-out", members())
    with pytest.raises(DatasetError, match=r"unknown validation source 'nex' \(did you mean 'next'\?\)"):
        make_division("leave-one-source-out", members(sources="AB"), validation="nex")
    assert make_division("leave-one-source-out", members(sources="AB")).roles == ()


def beats(numbers=(*DS1, *DS2, "102"), each=4, **changes):
    names = [f"{k}-{beat:06d}" for k in numbers for beat in range(each)]
    patients = ["201" if k == "202" else k for k in numbers for _ in range(each)]
    labels = (np.random.default_rng(0).random((len(names), 2)) < 0.3).astype(float)
    return members(len(names), record_id=names, patient_id=patients, labels=labels, **changes)


def test_the_inter_patient_division_is_that_of_de_chazal():
    corpus = beats()
    division = make_division("inter-patient", corpus)
    number = [name[:3] for name in corpus.record_id]
    assert {number[row] for row in rows(division, {1, 2})} == set(DS1)
    assert {number[row] for row in rows(division, {3})} == set(DS2)
    assert not {number[row] for row in rows(division, {1})} & {number[row] for row in rows(division, {2})}
    assert {number[row] for row in rows(division, {None})} == {"102"}
    assert "one person" in division.shared_patients["201"]
    assert (len(DS1), len(DS2), set(DS1) & set(DS2)) == (22, 22, set())


def test_other_records_have_no_inter_patient_division():
    with pytest.raises(DatasetError, match="record 'r0' has no MIT-BIH record number"):
        make_division("inter-patient", members())
    with pytest.raises(DatasetError, match="at least two records of DS1"):
        make_division("inter-patient", beats(("101", "100")))


def test_random_beats_leak_and_say_so():
    division = make_division("random-beats", beats(each=20))
    assert division.leaks
    assert "not seen" in division.leaks


def test_official_folds_are_restated_unless_they_leak():
    fold = [k // 2 % 3 + 1 for k in range(60)]
    division = make_division("official", members(fold=fold))
    assert division.fold == fold
    assert division.roles == (Roles("all", (1,), (2,), (3,)),)
    torn = [k % 3 + 1 for k in range(60)]
    with pytest.raises(DatasetError, match=r"30 patients would be in two folds, for example p0 in folds 1 and 2"):
        make_division("official", members(fold=torn))
    one = [*torn[:2], *fold[2:]]
    assert make_division("official", members(fold=one, shared_patients={"p0": "published so"})).fold == one
    with pytest.raises(DatasetError, match="no folds of its own"):
        make_division("official", members())


def test_unknown_patients_need_a_word():
    patients = [None, None, *(f"p{k // 2}" for k in range(58))]
    with pytest.raises(DatasetError, match=r"2 of 60 records have no patient id.*--ungrouped takes each such record"):
        make_division("kfold", members(patient_id=patients))
    division = make_division("kfold", members(patient_id=patients), ungrouped=True)
    assert division.grouping == "patients; 2 records of unknown patient each alone"
    known = [(p, f) for p, f in zip(patients, division.fold, strict=True) if p]
    assert len(set(known)) == 29


def test_unknown_methods_and_options_are_named():
    with pytest.raises(DatasetError, match=r"unknown method 'kfolds' \(did you mean 'kfold'\?\)"):
        make_division("kfolds", members())
    with pytest.raises(DatasetError, match="the method kfold has no option --shares; it takes --folds, --seed"):
        make_division("kfold", members(), shares=(0.5, 0.5))
    with pytest.raises(DatasetError, match="official has no option --seed; it takes none"):
        make_division("official", members(), seed=1)
