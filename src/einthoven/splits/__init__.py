"""Who is in which fold? Ways to divide records, splits on disk, and the proof that no patient crosses.

A split is a CSV of ``record_id, fold``; what each fold is for, the recipe says.
"""

# Methods register themselves on import.
from einthoven.splits import drawn as _drawn
from einthoven.splits import given as _given
from einthoven.splits.files import Roles, SplitAbout, read_about, read_split, write_about, write_split
from einthoven.splits.leaks import check_no_leak, crossing_patients, rows_of_folds
from einthoven.splits.methods import (
    Division,
    Members,
    list_methods,
    make_division,
    method_options,
    own_roles,
    usual_roles,
)
from einthoven.splits.stratify import Deviation, deviations, fold_shares, stratified_folds

__all__ = [
    "Deviation",
    "Division",
    "Members",
    "Roles",
    "SplitAbout",
    "check_no_leak",
    "crossing_patients",
    "deviations",
    "fold_shares",
    "list_methods",
    "make_division",
    "method_options",
    "own_roles",
    "read_about",
    "read_split",
    "rows_of_folds",
    "stratified_folds",
    "usual_roles",
    "write_about",
    "write_split",
]

del _drawn, _given
