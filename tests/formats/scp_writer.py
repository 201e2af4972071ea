"""A writer of SCP-ECG files for tests, bit by bit as EN 1064 describes the encoder; it shares no code with the reader."""

import struct
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

__all__ = ["DEFAULT", "OWN", "SWITCHING", "Scp", "beat_signal", "crc", "ecg", "section", "tag", "write_scp"]

TWELVE = {"I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8}

# Rows: bits of the code, bits with what follows, 1 for a value (0: switch to table), value, the code.
DEFAULT = 19999
OWN = [
    [(1, 1, 1, 0, "1"), (2, 2, 1, 1, "01"), (3, 3, 1, -1, "001"), (4, 9, 1, 0, "0001"), (5, 21, 1, 0, "00001")],
]
# From table 1 a code of 17 bits leads to table 2, which knows large numbers only and leads back.
SWITCHING = [
    [(1, 1, 1, 0, "0"), (2, 6, 1, 0, "10"), (17, 17, 0, 2, "1" * 17)],
    [(2, 18, 1, 0, "01"), (1, 1, 0, 1, "1")],
]


@dataclass
class Scp:
    """What to write; sample numbers are those of the standard, from 1 and inclusive."""

    signal: np.ndarray  # (leads, samples) integers, in units of ``nanovolts``
    codes: tuple[int, ...] = tuple(TWELVE.values())
    nanovolts: int = 2500
    interval_us: int = 2000
    tables: object = None
    differences: int = 0
    starts: tuple[int, ...] | None = None
    flags: int | None = None
    beat: np.ndarray | None = None  # (leads, samples) in units of ``beat_nanovolts``
    beat_nanovolts: int = 2500
    beat_interval_us: int = 2000
    fiducial: int = 1
    qrs: tuple[tuple[int, int, int, int], ...] = ()  # kind, start, fiducial, end
    protected: tuple[tuple[int, int], ...] = ()
    subtract: bool = False
    bimodal: bool = False
    factor: int = 1
    patient: bytes = b""
    extra: dict[int, bytes] = field(default_factory=dict)
    order: tuple[int, ...] | None = None
    magic: bytes = b"SCPECG"
    checksums: str = "right"


def ecg(n_leads=8, n_samples=1500, beats=(300, 700, 1150), seed=0):
    """A slow wave, a P, a T and a QRS per beat, and a little noise, as integers of (leads, samples)."""
    rng = np.random.default_rng(seed)
    at = np.arange(n_samples)
    shape = sum(beat_wave(at - beat) for beat in beats)
    gains = rng.uniform(-1, 1, (n_leads, 1))
    drift = 40 * np.sin(at / 300 + rng.uniform(0, 6, (n_leads, 1)))
    return np.round(gains * shape + drift).astype(int)


def beat_wave(at):
    waves = ((0, 4, 400), (12, 5, -120), (-80, 15, 40), (120, 25, 90))
    return sum(height * np.exp(-(((at - centre) / width) ** 2) / 2) for centre, width, height in waves)


def beat_signal(n_leads, n_samples, fiducial):
    """Reference beats with their fiducial point at sample ``fiducial`` (from 1)."""
    gains = np.linspace(-1, 1, n_leads)[:, None]
    return np.round(gains * beat_wave(np.arange(1, n_samples + 1) - fiducial)).astype(int)


def crc_of_octet(octet):
    value = octet << 8
    for _ in range(8):
        value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


CRC = [crc_of_octet(octet) for octet in range(256)]


def crc(data):
    """CRC-CCITT: x^16 + x^12 + x^5 + 1 from 0xFFFF."""
    value = 0xFFFF
    for octet in data:
        value = (value << 8 & 0xFFFF) ^ CRC[value >> 8 ^ octet]
    return value


def checksum(data, kind):
    number = {"right": crc(data), "zero": 0, "wrong": crc(data) ^ 0x1234, "swapped": 0}[kind]
    return crc(data).to_bytes(2, "big") if kind == "swapped" else struct.pack("<H", number)


def section(number, body, kind="right", reserved=bytes(6)):
    body += bytes(len(body) % 2)
    rest = struct.pack("<HIBB", number, 16 + len(body), 20, 20) + reserved + body
    return checksum(rest, kind) + rest


def tag(number, value):
    return struct.pack("<BH", number, len(value)) + value


def differences(values, order):
    values = [int(v) for v in values]
    if order == 1:
        return values[:1] + [b - a for a, b in pairwise(values)]
    if order == 2:
        return values[:2] + [values[k] - 2 * values[k - 1] + values[k - 2] for k in range(2, len(values))]
    return values


def default_bits(value):
    if abs(value) <= 8:
        return "1" * abs(value) + "0" + ("" if value == 0 else "01"[value < 0])
    if -128 <= value < 128:
        return "1111111110" + format(value & 0xFF, "08b")
    return "1111111111" + format(value & 0xFFFF, "016b")


def row_bits(rows, value):
    """The shortest code of a table for a value, None where it has none."""
    found = []
    for prefix, total, is_value, base, code in rows:
        extra = total - prefix
        if is_value and extra == 0 and base == value:
            found.append(code)
        if is_value and extra and -(1 << (extra - 1)) <= value - base < 1 << (extra - 1):
            found.append(code + format(value - base & ((1 << extra) - 1), f"0{extra}b"))
    return min(found, key=len) if found else None


def own_bits(values, tables):
    """Codes of a lead, with switches from table to table where the present one has no code."""
    bits, present = [], 0
    for value in values:
        while (code := row_bits(tables[present], value)) is None:
            switch = next(row for row in tables[present] if not row[2])
            bits.append(switch[4])
            present = switch[3] - 1
        bits.append(code)
        if present:
            back = next(row for row in tables[present] if not row[2])
            bits.append(back[4])
            present = back[3] - 1
    return "".join(bits)


def stream(values, tables, order):
    coded = differences(values, order)
    if tables is None:
        return np.array(coded).astype("<i2").tobytes()
    bits = "".join(map(default_bits, coded)) if tables == DEFAULT else own_bits(coded, tables)
    bits += "0" * (-len(bits) % 16)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def huffman_section(tables):
    if tables == DEFAULT:
        return struct.pack("<H", DEFAULT)
    body = struct.pack("<H", len(tables))
    for rows in tables:
        body += struct.pack("<H", len(rows))
        for prefix, total, is_value, value, code in rows:
            body += struct.pack("<BBBhI", prefix, total, is_value, value, int(code[::-1], 2))
    return body


def encoded_section(rows, nanovolts, interval_us, file, flag):
    streams = [stream(row, file.tables, file.differences) for row in rows]
    head = struct.pack("<HHBB", nanovolts, interval_us, file.differences, flag)
    return head + struct.pack(f"<{len(streams)}H", *map(len, streams)) + b"".join(streams)


def residual(file, starts):
    """The signal without the reference beats."""
    signal = file.signal.copy()
    if file.subtract:
        for kind, start, fiducial, end in file.qrs:
            for sample in range(start, end + 1) if kind == 0 else ():
                at = file.fiducial - 1 + sample - fiducial
                for lead, first in enumerate(starts):
                    if first <= sample < first + signal.shape[1] and 0 <= at < file.beat.shape[1]:
                        signal[lead, sample - first] -= file.beat[lead, at]
    return signal


def reduced(row, start, zones, factor):
    """Means of ``factor`` samples outside the zones, the samples themselves within."""
    inside = [any(a <= start + k <= b for a, b in zones) for k in range(len(row))]
    stored, k = [], 0
    while k < len(row):
        block = row[k : k + factor]
        if not any(inside[k : k + factor]) and len(block) == factor:
            stored.append(round(block.mean()))
            k += factor
        else:
            stored.append(int(row[k]))
            k += 1
    return stored


def write_scp(file):
    """Return the bytes of a file."""
    n_leads, n_samples = file.signal.shape
    starts = file.starts or (1,) * n_leads
    flags = (file.subtract | 4 | min(n_leads, 31) << 3) if file.flags is None else file.flags
    ends = [start + n_samples - 1 for start in starts]
    rows = residual(file, starts)
    if file.factor > 1:
        zones = file.protected if file.bimodal else ()
        rows = [reduced(row, start, zones, file.factor) for row, start in zip(rows, starts, strict=True)]
    interval = file.interval_us * file.factor
    leads = b"".join(struct.pack("<IIB", *row) for row in zip(starts, ends, file.codes, strict=False))
    bodies = {1: file.patient + b"\xff\0\0", 3: bytes([n_leads, flags]) + leads}
    bodies[6] = encoded_section(rows, file.nanovolts, interval, file, int(file.bimodal))
    if file.tables is not None:
        bodies[2] = huffman_section(file.tables)
    if file.beat is not None:
        ms = file.beat.shape[1] * file.beat_interval_us // 1000
        bodies[4] = struct.pack("<3H", ms, file.fiducial, len(file.qrs))
        bodies[4] += b"".join(struct.pack("<HIII", *row) for row in file.qrs)
        bodies[4] += b"".join(struct.pack("<II", *row) for row in file.protected)
        bodies[5] = encoded_section(file.beat, file.beat_nanovolts, file.beat_interval_us, file, 0)
    return assemble(bodies | file.extra, file.order, file.magic, file.checksums)


def assemble(bodies, order=None, magic=b"SCPECG", checksums="right"):
    order = order or tuple(sorted(bodies))
    parts = {number: section(number, bodies[number], checksums) for number in order if bodies[number] is not None}
    at = 7 + 16 + 120
    places = {}
    for number in order:
        if number in parts:
            places[number] = (len(parts[number]), at)
            at += len(parts[number])
    pointers = struct.pack("<HII", 0, 136, 7)
    for number in range(1, 12):
        pointers += struct.pack("<HII", number, *places.get(number, (0, 0)))
    rest = section(0, pointers, checksums, magic) + b"".join(parts[n] for n in order if n in parts)
    rest = struct.pack("<I", 6 + len(rest)) + rest
    return checksum(rest, checksums) + rest
