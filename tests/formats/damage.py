"""What every reader must survive: bytes flipped, cut, inserted or dropped, within bounded time and memory."""

import resource
import time

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from einthoven.errors import EinthovenError
from einthoven.formats import read_record
from einthoven.record import Record

__all__ = ["QUICK", "assert_record_or_error", "damage", "damaged"]

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
SECONDS, MEGABYTES = 2.0, 500.0

damage = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "drop"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def damaged(content, changes):
    """Return ``content`` with (kind, where as a share of its length, byte) changes made."""
    data = bytearray(content)
    for kind, where, value in changes:
        at = int(where * max(0, len(data) - 1))
        if kind == "flip" and data:
            data[at] = value
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data.insert(at, value)
        elif data:
            del data[at]
    return bytes(data)


def assert_record_or_error(files, **stated):
    """Read, and accept a Record or one of our errors, within 2 s of this process and 500 MB more than before."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    outcome = None
    try:
        outcome = read_record(files, **stated)
    except EinthovenError as error:
        outcome = str(error)
    assert outcome
    assert isinstance(outcome, str | Record)
    assert time.process_time() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES
