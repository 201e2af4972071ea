import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einthoven.errors import DatasetError
from einthoven.splits import deviations, fold_shares, stratified_folds
from einthoven.splits.search import _fill_empty
from einthoven.splits.stratify import source_columns


def cohort(n_patients, prevalence, seed=0):
    """Labels and patients of a cohort with one to four records per patient, alike within a patient."""
    rng = np.random.default_rng(seed)
    per = rng.choice([1, 2, 3, 4], n_patients, p=[0.6, 0.2, 0.12, 0.08])
    patient = np.repeat(np.arange(n_patients), per)
    often = (rng.random((n_patients, len(prevalence))) < prevalence)[patient]
    labels = rng.random(often.shape) < np.where(often, 0.6, 0.4 * np.asarray(prevalence))
    return labels.astype(float), [str(p) for p in patient]


def crossing(groups, fold):
    first = {}
    return [g for g, f in zip(groups, fold.tolist(), strict=True) if first.setdefault(g, f) != f]


small = st.integers(6, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=3, max_size=3), min_size=n, max_size=n),
        st.lists(st.integers(0, n // 2), min_size=n, max_size=n),
        st.sampled_from([2, 3, (0.5, 0.3, 0.2), (0.9, 0.1)]),
        st.integers(0, 5),
    )
)


@settings(max_examples=60, deadline=None)
@given(small)
def test_patients_never_cross_every_record_has_a_fold_and_a_seed_gives_the_same(drawn):
    labels, patients, folds, seed = drawn
    labels, groups = np.array(labels), [str(p) for p in patients]
    n_folds = folds if isinstance(folds, int) else len(folds)
    if len(set(groups)) < n_folds:
        with pytest.raises(DatasetError, match="ask for fewer folds"):
            stratified_folds(labels, groups, folds, seed)
        return
    fold = stratified_folds(labels, groups, folds, seed)
    assert not crossing(groups, fold)
    assert set(fold.tolist()) == set(range(1, n_folds + 1))
    assert np.array_equal(fold, stratified_folds(labels, groups, folds, seed))


def test_twenty_thousand_patients_are_divided_within_one_percent():
    labels, groups = cohort(20_000, np.geomspace(0.4, 0.002, 17))
    assert labels.mean(axis=0).min() < 0.003
    fold = stratified_folds(labels, groups, 5, seed=3)
    assert not crossing(groups, fold)
    counts = np.stack([labels[fold == f].sum(axis=0) for f in range(1, 6)])
    due = labels.sum(axis=0) / 5
    assert (np.abs(counts - due) <= np.maximum(1, 0.01 * due)).all()
    assert np.ptp(np.bincount(fold)[1:]) <= 0.01 * len(labels) / 5
    assert all(each.within for each in deviations(labels, groups, fold, fold_shares(5)))


def test_unequal_shares_are_met():
    labels, groups = cohort(3_000, [0.4, 0.1, 0.02], seed=1)
    shares = (0.8, 0.1, 0.1)
    fold = stratified_folds(labels, groups, shares)
    for f, share in enumerate(shares, start=1):
        due = share * labels.sum(axis=0)
        assert (np.abs(labels[fold == f].sum(axis=0) - due) <= np.maximum(1, 0.01 * due)).all()
        assert abs((fold == f).mean() - share) < 0.005


def test_other_seeds_give_other_folds():
    labels, groups = cohort(200, [0.3])
    assert not np.array_equal(stratified_folds(labels, groups, 5, 0), stratified_folds(labels, groups, 5, 1))


def test_unknown_labels_are_divided_evenly_too():
    labels = np.zeros((1000, 1))
    labels[:100] = np.nan
    fold = stratified_folds(labels, None, 5)
    assert np.bincount(fold[:100])[1:].tolist() == [20] * 5


def test_a_patient_with_too_many_is_reported_by_label():
    labels = np.zeros((100, 2))
    labels[:8, 0] = 1
    labels[::5, 1] = 1
    groups = ["one"] * 8 + [f"p{k}" for k in range(92)]
    found = deviations(labels, groups, stratified_folds(labels, groups, 5), fold_shares(5))
    assert found[0].forced
    assert not found[0].within
    assert (found[0].count, found[0].due, found[0].largest_group) == (8, 1.6, 8)
    assert found[1].within
    assert not found[1].forced


def test_deviations_agree_with_counting():
    labels, groups = cohort(300, [0.3, 0.05], seed=2)
    fold = np.random.default_rng(0).integers(1, 5, len(labels))
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    for k, each in enumerate(deviations(labels, groups, fold, shares)):
        counts = np.array([labels[fold == f, k].sum() for f in range(1, 5)])
        due = shares * labels[:, k].sum()
        ratio = np.abs(counts - due) / np.maximum(1, 0.01 * due)
        assert each.fold == ratio.argmax() + 1
        assert each.size == pytest.approx((counts - due)[ratio.argmax()])


def test_folds_are_at_least_as_even_as_those_of_iterative_stratification():
    package = pytest.importorskip("iterstrat.ml_stratifiers")
    labels, _ = cohort(1_000, [0.4, 0.2, 0.1, 0.05, 0.02, 0.01], seed=4)
    theirs = np.zeros(len(labels), np.int64)
    twin = package.MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
    for f, (_, test) in enumerate(twin.split(labels, labels), start=1):
        theirs[test] = f

    def largest(fold):
        return max(abs(each.size) / each.limit for each in deviations(labels, None, fold, fold_shares(5)))

    assert largest(stratified_folds(labels, None, 5)) <= largest(theirs)


def test_labels_and_pairs_are_kept_within_each_source():
    labels, groups = cohort(3_000, [0.3, 0.2, 0.05], seed=5)
    rng = np.random.default_rng(6)
    source_of = {g: str(rng.choice(["A", "B", "C"], p=[0.7, 0.2, 0.1])) for g in sorted(set(groups))}
    source = np.array([source_of[g] for g in groups])
    fold = stratified_folds(source_columns(labels, source), groups, 5)
    for name in "ABC":
        here = source == name
        both = (labels[:, 0] * labels[:, 1] * here)[:, None]
        columns = np.hstack([labels * here[:, None], both, here[:, None]])
        counts = np.stack([columns[fold == f].sum(axis=0) for f in range(1, 6)])
        due = columns.sum(axis=0) / 5
        assert (np.abs(counts - due) <= np.maximum(1.5, 0.01 * due)).all()


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ((0.5, 0.4), r"shares 0\.5, 0\.4 sum to 0\.9"),
        ((1.2, -0.2), "each must be above 0"),
        (1, "1 fold makes no split"),
        (7, "7 folds of 6 records: a fold would be empty"),
    ],
)
def test_impossible_folds_are_refused(folds, message):
    with pytest.raises(DatasetError, match=message):
        stratified_folds(np.zeros((6, 1)), None, folds)


def test_labels_of_other_values_are_refused_with_their_place():
    labels = np.zeros((5, 2))
    labels[3, 1] = 0.5
    with pytest.raises(DatasetError, match=r"label column 1, record 3: 0\.5 is not 0, 1 or NaN"):
        stratified_folds(labels, None, 2)


def test_no_fold_is_empty_where_one_patient_has_nearly_all():
    groups = ["one"] * 96 + ["two", "three", "four"]
    labels = np.ones((99, 1))
    fold = stratified_folds(labels, groups, 4)
    assert sorted(np.bincount(fold)[1:].tolist()) == [1, 1, 1, 96]


def test_an_empty_fold_is_given_a_patient_of_the_fullest():
    held = np.array([[0, 3, 0], [0, 1, 1]])
    _fill_empty(held)
    assert held.tolist() == [[1, 2, 0], [0, 1, 1]]
