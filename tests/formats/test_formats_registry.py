"""The registry: formats are found by content, and what is stated is checked."""

import pytest

from einthoven.errors import EinthovenError, RecordError
from einthoven.formats import LocalFiles, MemoryFiles, list_formats, open_files, read_record, register_reader
from einthoven.formats.units import per_millivolt


def test_formats_are_listed_with_suffixes_and_a_description():
    found = {reader.name: reader for reader in list_formats()}
    assert found["WFDB"].suffixes == (".hea", ".dat", ".mat")
    assert ".csv" in found["CSV"].suffixes
    assert all(reader.description for reader in found.values())
    assert [reader.generic for reader in list_formats()] == sorted(reader.generic for reader in list_formats())


def test_unknown_content_is_refused_with_the_list_of_formats(tmp_path):
    (tmp_path / "photo.xyz").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    with pytest.raises(RecordError, match=r"photo\.xyz: .* no known format; Einthoven reads .*WFDB \(\.hea, .*CSV"):
        read_record(tmp_path / "photo.xyz")


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere: cannot be read \(No such file"):
        read_record(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="is a folder: name a record in it"):
        read_record(f"{tmp_path}/")
    with pytest.raises(RecordError, match=r"missing from the upload, which has b\.dat"):
        read_record(MemoryFiles("a.xyz", {"b.dat": b""}))


@pytest.mark.parametrize("fs", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_stated_rate_must_be_plausible(fs):
    with pytest.raises(RecordError, match="between 0 and 100,000 Hz"):
        read_record(MemoryFiles("a.csv", {"a.csv": b"II\n1\n2\n"}), fs=fs)


def test_a_stated_unit_must_be_known():
    with pytest.raises(RecordError, match=r"unit 'mW' is unknown: use one of mV, uV, nV, V, normalised .*mV"):
        read_record(MemoryFiles("a.csv", {"a.csv": b"II\n1\n2\n"}), fs=100, unit="mW")


@pytest.mark.parametrize(
    ("text", "factor"), [("mV", 1), ("mv", 1), ("uV", 1000), ("µV", 1000), ("V", 0.001), ("NU", None)]
)
def test_units_are_known_in_any_usual_spelling(text, factor):
    assert per_millivolt(text) == factor


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'WFDB' is registered already"):
        register_reader("WFDB", (), "", lambda files: False)(lambda files, options: None)


def test_a_path_becomes_local_files_and_files_stay_themselves(tmp_path):
    memory = MemoryFiles("a", {})
    assert open_files(memory) is memory
    assert isinstance(open_files(str(tmp_path / "x.csv")), LocalFiles)
    assert open_files(tmp_path / "x.csv").name == "x.csv"


def test_an_upload_is_laid_out_in_a_folder_only_under_plain_names():
    with MemoryFiles("a", {"a": b"1"}).folder() as folder, open(f"{folder}/a", "rb") as file:
        assert file.read() == b"1"
    with pytest.raises(EinthovenError, match="not a plain file name"), MemoryFiles("a", {"../a": b""}).folder():
        pass


def test_importing_the_formats_loads_no_heavy_package():
    import subprocess
    import sys

    code = "import sys, einthoven.formats; print({'torch', 'pandas', 'wfdb', 'scipy', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
