"""Records in the layout of the MIT-BIH Arrhythmia Database, written by the wfdb package."""

import numpy as np
import wfdb

FS = 360


def write_record(folder, name, beats, leads=("MLII", "V1"), seconds=40, comments=("69 M 1085 1629 x1", "Aldomet")):
    """Write ``beats`` (sample, symbol) as annotations, with a spike of 1 mV at each in all leads; return the signal."""
    rng = np.random.default_rng(int(name))
    signal = rng.integers(-20, 20, (seconds * FS, len(leads)))
    for sample, symbol in beats:
        if symbol not in "+~":
            signal[sample : sample + 8] += 200
    wfdb.wrsamp(
        name,
        fs=FS,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        d_signal=signal,
        fmt=["212"] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[1] * len(leads),
        comments=list(comments),
        write_dir=str(folder),
    )
    if beats:
        samples, symbols = zip(*beats, strict=True)
        wfdb.wrann(name, "atr", np.array(samples), symbol=list(symbols), fs=FS, write_dir=str(folder))
    return (signal.T - 1) / 200


def regular(symbols, first=50, step=300):
    """Beats at equal distances."""
    return [(first + step * k, symbol) for k, symbol in enumerate(symbols)]
