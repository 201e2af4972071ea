"""HDF5: exact values, what is beside the data set, and nothing read that could harm."""

import io
import struct
import sys
import zlib

import h5py
import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.leads import TWELVE_LEADS

SIGNAL = np.random.default_rng(11).normal(size=(12, 90)).astype(np.float32)
STATED = {"fs": 500, "unit": "mV"}


def h5(fill, **options):
    """The bytes of a file that ``fill`` writes into."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as file:
        fill(file)
    return stream.getvalue()


def one(array=SIGNAL, attributes=(), key="signal", version=None, **options):
    def fill(file):
        file.create_dataset(key, data=array, **options).attrs.update(dict(attributes))

    return h5(fill, libver=version)


def read(content, **stated):
    return read_record(MemoryFiles("r.h5", {"r.h5": content}), **stated)


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "<i2"])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "lzf"}, {"chunks": (5, 40)}],
)
def test_a_data_set_keeps_its_values(version, dtype, options):
    array = (SIGNAL * 100).astype(dtype)
    record = read(one(array, version=version, **options), fs=250, unit="uV")
    np.testing.assert_array_equal(record.signal, (array.astype(np.float64) / 1000).astype(np.float32))
    assert (record.fs, record.leads, record.record_id) == (250.0, TWELVE_LEADS, "r")


def test_a_path_reads_as_an_upload_does(tmp_path):
    (tmp_path / "r.h5").write_bytes(one(SIGNAL.T))
    np.testing.assert_array_equal(read_record(tmp_path / "r.h5", **STATED).signal, SIGNAL)
    assert "HDF5" in {reader.name for reader in list_formats()}


def test_a_user_block_is_passed_over():
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=1024) as file:
        file["ecg"] = SIGNAL
    np.testing.assert_array_equal(read(stream.getvalue(), **STATED).signal, SIGNAL)


def test_attributes_tell_rate_unit_leads_and_patient():
    def fill(file):
        data = file.create_dataset("rec/ecg", data=SIGNAL[:2])
        data.attrs["sampling_rate"] = 360
        file["rec"].attrs["unit"] = np.bytes_("uV")
        file["rec"].attrs["fs"] = 100
        file.attrs["leads"] = np.array(["v6", "AVL"], "S")
        file.attrs.update({"age": 50, "sex": np.bytes_("male"), "patient_id": np.bytes_("P2"), "other": "text"})

    record = read(h5(fill))
    np.testing.assert_allclose(record.signal, SIGNAL[:2] / 1000, rtol=1e-6)
    assert (record.fs, record.leads, record.age) == (360.0, ("V6", "aVL"), 50.0)
    assert (record.sex, record.patient_id) == ("male", "P2")


def test_text_of_an_old_encoding_and_values_that_tell_nothing_are_borne():
    attributes = {"fs": 500, "unit": np.bytes_("µV".encode("latin-1")), "sex": True, "age": np.array([], float)}
    np.testing.assert_allclose(read(one(attributes=attributes)).signal, SIGNAL / 1000, rtol=1e-6)


def test_an_empty_data_set_is_no_ecg():
    with pytest.raises(RecordError, match="no array is one ECG"):
        read(one(SIGNAL[:, :0]), **STATED)


def test_small_data_sets_beside_it_tell_as_well():
    def fill(file):
        file.update({"ecg": SIGNAL, "fs": 200.0, "unit": np.bytes_("mV"), "beats": np.arange(9)})

    with pytest.raises(RecordError, match="gives no unit"):
        read(h5(fill))  # text in a data set of its own is not read
    assert read(h5(fill), unit="mV").fs == 200.0


def test_the_layout_of_sph_needs_no_statements():
    record = read(one(SIGNAL.astype(np.float16), key="ecg"))
    np.testing.assert_array_equal(record.signal, SIGNAL.astype(np.float16).astype(np.float32))
    assert (record.fs, record.unit, record.leads) == (500.0, "mV", TWELVE_LEADS)
    assert record.notes[0].startswith("The file has the layout of the SPH corpus")
    with pytest.raises(RecordError, match="gives no sampling rate"):
        read(one(SIGNAL, key="ecg"))


def test_several_data_sets_are_named():
    with pytest.raises(RecordError, match=r"several arrays may be the ECG \(a \(12, 90\), g/b \(12, 90\)\)"):
        read(h5(lambda file: file.update({"a": SIGNAL, "g/b": SIGNAL})))
    with pytest.raises(RecordError, match=r"no array is one ECG .* \(found: none\)"):
        read(h5(lambda file: None))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"unit": np.bytes_("mV")}, "the file gives no sampling rate; state it"),
        ({"fs": 500}, "the file gives no unit; state one of"),
        ({"fs": [1, 2]}, r"'fs' has several values \(\[1, 2\] \.\.\.\) where one describes the signal"),
        ({"leads": np.zeros(65)}, r"the attribute 'leads' has 65 values, too many to be it"),
        (
            {"unit": "mV", "fs": 500},
            r"the attribute 'unit' is of variable length, .*: state the unit, or save text of fixed",
        ),
        ({"leads": ["I", "II"], "fs": 500}, r"the attribute 'leads' is of variable length"),
    ],
)
def test_what_is_not_told_is_an_error(attributes, message):
    with pytest.raises(RecordError, match=message):
        read(one(attributes=attributes))


def test_text_of_variable_length_is_not_needed_where_all_is_stated():
    record = read(one(attributes={"unit": "uV", "fs": 500, "sex": "M"}), unit="mV")
    np.testing.assert_array_equal(record.signal, SIGNAL)
    assert "Attributes of variable length are not read: sex, unit." in record.notes


def test_values_of_variable_length_compound_and_references_are_no_candidates():
    def fill(file):
        file.create_dataset("vlen", (12, 9), dtype=h5py.vlen_dtype(np.float32))
        file["pair"] = np.zeros((12, 9), dtype=[("a", "f4"), ("b", "f4")])
        file.create_dataset("refs", (12, 9), dtype=h5py.ref_dtype)
        file["text"] = np.full((12, 9), b"x")
        file["nothing"] = h5py.Empty("f4")

    with pytest.raises(RecordError, match=r"no array is one ECG .* \(found: none\)"):
        read(h5(fill), **STATED)


def test_links_are_not_followed(tmp_path):
    (tmp_path / "secret.h5").write_bytes(one(key="ecg"))

    def fill(file):
        file["outside"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/ecg")
        file["soft"] = h5py.SoftLink("/outside")
        file["loop"] = file["/"]
        file["g/again"] = file["/"]

    with pytest.raises(RecordError, match=r"no array is one ECG .* \(found: none\)"):
        read(h5(fill), **STATED)


def test_values_in_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(SIGNAL.tobytes())
    (tmp_path / "source.h5").write_bytes(one())

    def outside(file):
        file.create_dataset("ecg", SIGNAL.shape, "f4", external=[(str(tmp_path / "secret"), 0, SIGNAL.nbytes)])

    def virtual(file):
        layout = h5py.VirtualLayout(SIGNAL.shape, "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "source.h5"), "signal", SIGNAL.shape)
        file.create_virtual_dataset("ecg", layout)

    for fill in (outside, virtual):
        (tmp_path / "r.h5").write_bytes(h5(fill))
        with pytest.raises(RecordError, match="'ecg' keeps its values in other files, which are not followed"):
            read_record(tmp_path / "r.h5", **STATED)


def test_a_data_set_without_measure_is_refused_before_it_is_read():
    def fill(file):
        file.create_dataset("ecg", (12, 10**12), "f4", chunks=(12, 1000), compression="gzip")

    with pytest.raises(
        RecordError, match=r"'ecg' promises 12000000000000 values \(shape \(12, 1000000000000\)\), far more"
    ):
        read(h5(fill), **STATED)

    def chunky(file):
        file.create_dataset("ecg", (12, 100), "f4", chunks=(12, 10**7), maxshape=(12, None), compression="gzip")

    with pytest.raises(RecordError, match="'ecg' promises 120000000 values"):
        read(h5(chunky), **STATED)


def test_a_piece_that_bursts_is_refused():
    def fill(file):
        data = file.create_dataset("ecg", (12, 100), "f4", chunks=(12, 100), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**24), 9))

    with pytest.raises(RecordError, match="'ecg' has a piece that unpacks to more than the 4800 bytes declared"):
        read(h5(fill), **STATED)


def test_a_piece_kept_unpacked_is_read():
    def fill(file):
        data = file.create_dataset("ecg", (12, 90), "f4", chunks=(12, 90), compression="gzip")
        data.id.write_direct_chunk((0, 0), SIGNAL.tobytes(), filter_mask=1)

    np.testing.assert_array_equal(read(h5(fill), **STATED).signal, SIGNAL)


def test_rare_filters_are_refused():
    with pytest.raises(RecordError, match="'signal' is compressed by filter 6, which is not read; use gzip"):
        read(one(scaleoffset=3), **STATED)

    def twice(file):
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((12, 90))
        plan.set_deflate(9)
        plan.set_shuffle()
        space = h5py.h5s.create_simple((12, 90))
        h5py.Dataset(h5py.h5d.create(file.id, b"ecg", h5py.h5t.NATIVE_FLOAT, space, plan))[...] = SIGNAL

    with pytest.raises(RecordError, match="'ecg' is filtered after its compression"):
        read(h5(twice), **STATED)


def test_files_of_many_objects_or_pieces_are_refused(monkeypatch):
    with pytest.raises(RecordError, match="more than 1000 groups and data sets; save one record by itself"):
        read(h5(lambda file: [file.create_group(str(k)) for k in range(1001)]), **STATED)
    monkeypatch.setattr("einthoven.formats.hdf5._MOST_CHUNKS", 5)
    with pytest.raises(RecordError, match="'signal' is cut into 24 pieces, too many for an ECG"):
        read(one(chunks=(1, 45)), **STATED)


def test_a_lie_about_the_size_of_a_piece_is_refused():
    content = one(chunks=(12, 90), compression="gzip")
    with h5py.File(io.BytesIO(content)) as file:
        size = file["signal"].id.get_chunk_info(0).size
    node = content.index(b"TREE\x01")
    at = content.index(struct.pack("<I", size), node)
    with pytest.raises(RecordError, match=r"'signal' has a piece of 99999999 bytes, more than the file"):
        read(content[:at] + struct.pack("<I", 99_999_999) + content[at + 4 :], **STATED)


def test_a_cut_file_is_the_package_s_complaint():
    with pytest.raises(RecordError, match=r"r\.h5: the h5py package cannot read it"):
        read(one()[:700])


def test_without_h5py_the_extra_is_named(monkeypatch):
    content = one()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"r\.h5: reading HDF5 needs .* 'einthoven\[formats\]'"):
        read(content)


FACTS = {"fs": 500, "unit": np.bytes_("mV"), "leads": np.array(TWELVE_LEADS, "S")}
CONTENTS = {
    "plain": one(attributes=FACTS),
    "packed": one(attributes=FACTS | {"sex": "M"}, compression="gzip", shuffle=True, fletcher32=True),
    "latest": one(attributes=FACTS, version="latest", compression="lzf", chunks=(4, 30), maxshape=(None, None)),
}


@pytest.mark.parametrize("kind", CONTENTS)
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(kind, changes):
    content = CONTENTS[kind]
    assert_record_or_error(MemoryFiles("r.h5", {"r.h5": damaged(content, changes)}))
    assert_record_or_error(MemoryFiles("r.h5", {"r.h5": damaged(content[:1000], changes) + content[1000:]}), **STATED)


@pytest.mark.real
def test_every_sph_record_equals_h5py(real_data):
    paths = sorted((real_data / "cinc2021" / "SPH").glob("*.h5"))
    assert len(paths) == 10
    for path in paths:
        record = read_record(path)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(record.signal, file["ecg"][...].astype(np.float32))
        assert (record.fs, record.unit, record.leads, record.record_id) == (500.0, "mV", TWELVE_LEADS, path.stem)
