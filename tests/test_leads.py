import numpy as np
import pytest

from einthoven.errors import ConformError, RecordError
from einthoven.leads import LIMB_LEADS, TWELVE_LEADS, canonical_lead, is_known_lead, limb_lead_weights
from einthoven.record import Record
from einthoven.spec import SignalSpec


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("AVR", "aVR"), ("avl ", "aVL"), ("Lead II", "II"), ("lead1", "I"), ("lead12", "V6"), ("v3", "V3"), ("DIII", "III"),
     ("ECG V1", "V1"), ("MLII", "MLII"), ("lead_V2", "V2"), ("C4", "V4")],
)  # fmt: skip
def test_usual_spellings_have_one_canonical_name(written, canonical):
    assert canonical_lead(written) == canonical
    assert is_known_lead(written)


def test_an_unknown_name_stays_as_it_is():
    assert canonical_lead(" ECG1 ") == "ECG1"
    assert not is_known_lead("channel 7")


def test_every_limb_lead_follows_from_every_pair_of_others():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 50))
    truth = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    for a in LIMB_LEADS:
        for b in LIMB_LEADS:
            for wanted in set(LIMB_LEADS) - {a, b}:
                if a < b:
                    weights = limb_lead_weights(wanted, [b, a])
                    np.testing.assert_allclose(sum(w * truth[n] for n, w in weights.items()), truth[wanted], atol=1e-9)


def test_a_chest_lead_or_a_single_limb_lead_gives_nothing():
    assert limb_lead_weights("V1", TWELVE_LEADS) is None
    assert limb_lead_weights("III", ["I", "V1"]) is None


def test_records_that_contradict_themselves_are_refused():
    signal = np.zeros((2, 10), np.float32)
    with pytest.raises(RecordError, match="3 lead names for 2 signals"):
        Record(signal, 100, ("I", "II", "III"))
    with pytest.raises(RecordError, match="lead names repeat: I"):
        Record(signal, 100, ("I", "I"))
    with pytest.raises(RecordError, match="positive number of Hz"):
        Record(signal, 0, ("I", "II"))
    with pytest.raises(RecordError, match="float64"):
        Record(signal.astype(np.float64), 100, ("I", "II"))


def test_a_specification_survives_json_and_refuses_nonsense():
    spec = SignalSpec(leads=("avr", "V1"), fs=250, band_hz=(0.5, 40), notch_hz=50)
    assert spec.leads == ("aVR", "V1")
    assert SignalSpec.from_dict(spec.to_dict()) == spec
    for wrong in ({"fs": -1}, {"band_hz": (40, 0.5)}, {"notch_hz": 60.0, "fs": 100}, {"leads": ("I", "I")}):
        with pytest.raises(ConformError):
            SignalSpec(**wrong)
