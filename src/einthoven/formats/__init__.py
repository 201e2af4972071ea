"""How is a file read? ``read_record`` finds the format by content and returns a Record.

One idea: a format is one function in one file, entered in one registry.
"""

# Readers register themselves on import.
from einthoven.formats import aecg as _aecg
from einthoven.formats import csv_text as _csv_text
from einthoven.formats import dicom as _dicom
from einthoven.formats import edf as _edf
from einthoven.formats import hdf5 as _hdf5
from einthoven.formats import matlab as _matlab
from einthoven.formats import muse as _muse
from einthoven.formats import numpy_arrays as _numpy_arrays
from einthoven.formats import philips as _philips
from einthoven.formats import scp as _scp
from einthoven.formats import wfdb as _wfdb
from einthoven.formats.files import Files, LocalFiles, MemoryFiles, Source, open_files
from einthoven.formats.registry import Reader, ReadOptions, list_formats, read_record, register_reader
from einthoven.formats.wfdb import read_wfdb_integers
from einthoven.formats.wfdb_annotations import read_annotations
from einthoven.formats.wfdb_header import WfdbHeader, WfdbSignal, parse_header
from einthoven.formats.wfdb_signals import WfdbIntegers

__all__ = [
    "Files",
    "LocalFiles",
    "MemoryFiles",
    "ReadOptions",
    "Reader",
    "Source",
    "WfdbHeader",
    "WfdbIntegers",
    "WfdbSignal",
    "list_formats",
    "open_files",
    "parse_header",
    "read_annotations",
    "read_record",
    "read_wfdb_integers",
    "register_reader",
]

del _aecg, _csv_text, _muse, _philips, _scp, _dicom, _edf, _hdf5, _matlab, _numpy_arrays, _wfdb
