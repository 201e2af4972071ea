"""Does what speaks for a conduction disturbance lie in the QRS complex, where LUDB's experts marked it?"""

import numpy as np
import pytest

pytest.importorskip("captum", reason="needs einthoven[explain]")

from einthoven.explain import Settings, open_subject
from einthoven.explain.explaining import explain_subject
from einthoven.explain.explanation import wave_shares
from einthoven.explain.waves import label_waves
from einthoven.formats import read_record
from einthoven.formats.wfdb_annotations import read_annotations

pytestmark = pytest.mark.real


def expert_qrs(folder, number, n_samples, fs):
    """2 inside the QRS complexes of lead II, 0 between them, -1 before the first and after the last mark."""
    notes = read_annotations(folder / "data" / f"{number}.ii", "ii")
    at, symbols = np.rint(np.asarray(notes.samples) * fs / 500).astype(int), notes.symbols
    labels = np.full(n_samples, -1, np.int8)
    labels[at[0] : at[-1] + 1] = 0
    for k, symbol in enumerate(symbols):
        if symbol == "N":
            labels[at[k - 1] : at[k + 1] + 1] = 2
    return labels


def test_waves_of_the_room_are_those_of_the_experts(real_data):
    agreed = []
    for number in range(1, 21):
        record = read_record(real_data / "ludb" / "data" / f"{number}.hea")
        found = label_waves(record)
        expert = expert_qrs(real_data / "ludb", number, record.n_samples, record.fs)
        assert found is not None
        inside, own = expert == 2, (found.labels == 2) & (expert >= 0)
        agreed.append((inside & own).sum() / (inside | own).sum())
    assert np.median(agreed) > 0.6


@pytest.mark.slow
def test_conduction_disturbances_are_seen_in_the_qrs_complex(bundle, model, real_data):
    ratios = []
    for number in range(1, 101):
        subject = open_subject(bundle, read_record(real_data / "ludb" / "data" / f"{number}.hea"), model)
        if not any(finding.present and finding.name == "CD" for finding in subject.prediction.findings):
            continue
        found = explain_subject(subject, method="deeplift", classes=["CD"], settings=Settings(n_background=8))
        labels = expert_qrs(real_data / "ludb", number, subject.x.shape[1], subject.record.fs)
        ratios.append(wave_shares(found.of("CD"), labels)[2].ratio)
    assert len(ratios) >= 10
    assert np.mean(ratios) >= 1.5
