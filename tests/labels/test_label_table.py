import math

import pytest

from einthoven.errors import DatasetError
from einthoven.labels import convert, read_codes, read_label_table, write_label_table


def write(tmp_path, text):
    path = tmp_path / "in.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("cell", "codes"),
    [
        ("22;23", {"22": None, "23": None}),
        ("22, 23", {"22": None, "23": None}),
        ("22|23;", {"22": None, "23": None}),
        ("60+310;147", {"60+310": None, "147": None}),
        ("", {}),
        ("nan", {}),
        ('["22", "23"]', {"22": None, "23": None}),
        ("[22, 23]", {"22": None, "23": None}),
        ("{'NORM': 80.0, 'SR': 0.0}", {"NORM": 80.0, "SR": 0.0}),
        ('{"NORM": null}', {"NORM": None}),
        ("{'NORM': None}", {"NORM": None}),
    ],
)
def test_cells_of_codes_are_read_in_every_usual_writing(cell, codes):
    assert read_codes(cell, "here") == codes


def test_an_unknown_likelihood_is_read():
    assert math.isnan(read_codes("{'NORM': nan}", "here")["NORM"])


@pytest.mark.parametrize("cell", ["{'NORM': 'yes'}", "{'NORM'", "[1, ", "{'NORM': 120}", "{'NORM': -1}", "{'A': [1]}"])
def test_a_cell_that_is_no_list_of_codes_is_named(cell):
    with pytest.raises(DatasetError, match="in.csv, line 2, column 'scp_codes': .* is no list of codes"):
        read_codes(cell, "in.csv, line 2, column 'scp_codes'")


def round_trip(tmp_path, text, source, target, codes=(), column=None):
    table = read_label_table(write(tmp_path, text), source, column)
    out = tmp_path / "out.csv"
    write_label_table(out, table, convert(table.statements, source, target).statements, target, codes)
    return out.read_text(encoding="utf-8")


def test_a_column_of_codes_is_rewritten_in_its_place_and_style(tmp_path):
    text = "id,AHA_Code,age\n1,22;23,55\n2,,30\n"
    assert round_trip(tmp_path, text, "aha", "snomed") == "id,snomed_codes,age\n1,426177001;427393009,55\n2,,30\n"


def test_commas_and_quotes_survive(tmp_path):
    text = '\ufeffid,dx,"what, said"\n1,"22,23","a ""b"", c"\n'
    assert round_trip(tmp_path, text, "aha", "snomed") == (
        'id,snomed_codes,"what, said"\n1,"426177001,427393009","a ""b"", c"\n'
    )


def test_likelihoods_are_written(tmp_path):
    text = "ecg_id,scp_codes\n1,\"{'IMI': 35.0, 'LMI': 80.0, 'HVOLT': 0.0}\"\n"
    assert round_trip(tmp_path, text, "scp", "snomed") == 'ecg_id,snomed_codes\n1,"{""164865005"": 80.0}"\n'


def test_a_list_stays_a_list(tmp_path):
    text = 'id,codes\n1,"[""AFIB"", ""HVOLT""]"\n'
    assert round_trip(tmp_path, text, "scp", "snomed") == 'id,snomed_codes\n1,"[""164889003""]"\n'


def test_columns_of_0_and_1_become_columns_of_the_new_codes(tmp_path):
    text = "id,IMI,HVOLT,LMI,AFIB,age\n1,1,0,0,0,50\n2,0,1,,0,51\n3,0.0,1,0,1.0,52\n4,NaN,0,true,false,53\n"
    assert round_trip(tmp_path, text, "scp", "snomed", ["164865005", "164889003"]) == (
        "id,164865005,164889003,age\n1,1,0,50\n2,,0,51\n3,0,1,52\n4,1,0,53\n"
    )


def test_the_column_can_be_named(tmp_path):
    assert round_trip(tmp_path, "id,finding\n1,AFIB\n", "scp", "snomed", column="finding").endswith("1,164889003\n")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("id,AHA_Code\n1,22\n2,999\n", None, "in.csv, line 3, column 'AHA_Code': .*no code '999'"),
        ("id,AHA_Code\n1,[22\n", None, "in.csv, line 2, column 'AHA_Code': .*is no list of codes"),
        ("id,22\n1,0\n2,yes\n", None, "in.csv, line 3, column '22': 'yes' is none of 1, 0 and empty"),
        ("id,x\n1,22\n", None, "no column of codes and none named by a code of 'aha'.*there are id, x"),
        ("id,x\n1,22\n", "y", "no column 'y'.*there are id, x"),
        ("dx,codes\n22,22\n", None, "may be in dx or codes; choose with --column"),
        ("id,dx\n1\n", None, "in.csv, line 2: has 1 cells, the header has 2"),
        ("id,dx,id\n1,2,3\n", None, "every column once; 'id' comes twice"),
        ("id,dx\n", None, "a header and at least one row"),
        ("", None, "a header and at least one row"),
        ('id,dx\n1,"22\n', None, "line 2: cannot be read as a table"),
    ],
)
def test_whatever_cannot_be_right_is_named_with_line_and_column(tmp_path, text, column, message):
    with pytest.raises(DatasetError, match=message):
        read_label_table(write(tmp_path, text), "aha", column)


def test_a_missing_or_binary_file_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match=r"none.csv: cannot be read"):
        read_label_table(tmp_path / "none.csv", "aha")
    (tmp_path / "b.csv").write_bytes(b"\x81\xff\x00\x81")
    with pytest.raises(DatasetError, match=r"b.csv: is not UTF-8 text"):
        read_label_table(tmp_path / "b.csv", "aha")


def test_a_new_column_never_hides_another(tmp_path):
    with pytest.raises(DatasetError, match="already has a column 'snomed_codes'"):
        round_trip(tmp_path, "snomed_codes,AHA_Code\n1,22\n", "aha", "snomed", column="AHA_Code")
    assert not (tmp_path / "out.csv").exists()
