"""Do the folds keep what they promise? Patients, duplicate signals and prevalence of a dataset's folds.

What cannot be known, as the patients of a corpus without patient ids, is said to be unknown and not taken for good.
"""

from einthoven.audit.duplicates import Duplicates, find_duplicates
from einthoven.audit.report import Audit, audit_dataset

__all__ = ["Audit", "Duplicates", "audit_dataset", "find_duplicates"]
