"""ECGs from physics: a corpus in PTB-XL's layout that any machine can make in seconds.

One idea: moving dipoles seen from twelve leads, in patients whose diseases come as they do in a hospital.
"""

from einthoven.corpora.synthetic.cohort import Recording, SyntheticSet, example_record, recordings, synthesize_records
from einthoven.corpora.synthetic.pathologies import STATEMENTS
from einthoven.corpora.synthetic.writer import write_synthetic_corpus

__all__ = [
    "STATEMENTS",
    "Recording",
    "SyntheticSet",
    "example_record",
    "recordings",
    "synthesize_records",
    "write_synthetic_corpus",
]
