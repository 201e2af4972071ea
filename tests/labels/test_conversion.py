import csv
import json
import math
from collections import Counter

import pytest

from einthoven.errors import DatasetError
from einthoven.labels import Statement, convert, list_maps, load_map, load_system

NSR, SB, SA, RBBB, MI = "426783006", "426177001", "427393009", "59118001", "164865005"
# Published rows of AHA_SNOMED_mapping.csv.
PUBLISHED_AHA = {
    "82": "270492004", "50": "164889003", "50+346": "164889003", "50+347": "164889003", "51": "164890007",
    "105": "713426002", "101": "445118002", "121": "39732003", "104": "164909002", "125": "251146004",
    **dict.fromkeys(("30", "30+308", "30+310", "30+340", "30+341", "30+349"), "284470004"),
    "120": "47665007", "106": RBBB, "23": SA, "22": SB, "21": "427084000", "147": "164934002", "147+367": "59931005",
}  # fmt: skip
# PTB-XL column of dx_mapping_scored.csv and dx_mapping_unscored.csv, without the three that are of its heart axis.
CHALLENGE_COUNTS = {
    NSR: 18092, MI: 5261, "164951009": 3389, "164873001": 2359, "164934002": 2345, "164861001": 2175,
    "445118002": 1626, "164889003": 1514, "164884008": 1154, "713426002": 1118, "429622005": 1009, "427084000": 826,
    "270492004": 797, "698252002": 789, SA: 772, "55930002": 770, SB: 637, "164917005": 548, "713427006": 542,
    "164909002": 536, "67741000119109": 427, "284470004": 398, "428750005": 381, "54329005": 354, "164947007": 340,
    "10370003": 296, "59931005": 294, "425419005": 219, "251146004": 182, "445211001": 177, "63593006": 157,
    "425623009": 142, "89792004": 126, "111975006": 118, "446358003": 99, "11157007": 82, "74390002": 80,
    "251120003": 77, "164890007": 73, "426434006": 44, "266249003": 30, "164931005": 28, "426761007": 27,
    "67198005": 24, "251180001": 20, "27885002": 16, "195042002": 14,
}  # fmt: skip


def aha(*cells):
    return [list(found) for found in convert([dict.fromkeys(c.split(";")) for c in cells], "aha", "snomed").statements]


@pytest.mark.parametrize("pair", list_maps())
def test_every_map_leads_from_codes_of_its_source_to_codes_of_its_target(pair):
    one = load_map(*pair)
    load_system(one.source).table_for(one.rows)
    load_system(one.target).table_for({row.target for row in one.rows.values()})
    assert len(one.about) > 40
    assert {row.fit for row in one.rows.values()} <= {"same", "equivalent", "implied", "broader", "loose"}


def test_the_published_examples_of_aha():
    assert aha("22;23", "106", "1") == [[SB, SA], [RBBB], [NSR]]


@pytest.mark.parametrize("code", PUBLISHED_AHA)
def test_each_published_row_of_aha_is_kept(code):
    assert aha(code) == [[PUBLISHED_AHA[code]]]


def test_a_modifier_that_no_row_has_falls_back_to_its_statement_and_is_reported():
    done = convert([{"30+309": None}, {"147+366": None}, {"145+362+360": None}], "aha", "snomed")
    assert [list(found) for found in done.statements] == [["284470004"], ["164934002"], ["429622005"]]
    assert {one.code: one.note for one in done.report.changed} == {
        "30+309": "read as 30",
        "147+366": "read as 147",
        "145+362+360": "read as 145+362",
    }


@pytest.mark.parametrize("code", ["104+312", "104+315", "22+302", "50+319+106", "147+226"])
def test_an_uncertain_or_joined_statement_is_lost_rather_than_made_certain(code):
    done = convert([{code: None}], "aha", "snomed")
    assert done.statements == [{}]
    assert done.report.lost[0].code == code


def test_likelihoods_are_carried_and_the_higher_counts_where_codes_merge():
    (found,) = convert([{"IMI": 35.0, "ASMI": 80.0, "LMI": None, "AFIB": 0.0}], "scp", "snomed").statements
    assert found == {MI: 80.0, "164889003": 0.0}


def test_unknown_stays_unknown_unless_another_code_says_that_it_holds():
    nan = math.nan
    done = convert([{"IMI": nan}, {"IMI": nan, "LMI": 0.0}, {"LMI": 50.0, "IMI": nan}], "scp", "snomed").statements
    assert math.isnan(done[0][MI])
    assert done[1:] == [{MI: 0.0}, {MI: 50.0}]
    (both,) = convert([{"IMI": nan, "LMI": nan}], "scp", "snomed").statements
    assert math.isnan(both[MI])


def test_what_is_lost_is_counted_by_code_and_by_records_left_empty():
    statements = [{"HVOLT": 0.0}, {"HVOLT": None, "SR": 0.0}, {"HVOLT": math.nan}, {}, {"HVOLT": 1.0, "IMI": math.nan}]
    report = convert(statements, "scp", "snomed").report
    assert (report.records, report.left_empty) == (5, 2)
    (lost,) = report.lost
    assert (lost.code, lost.name, lost.records, lost.left_empty, lost.unknown) == (
        "HVOLT", "high QRS voltage", 3, 2, 1,
    )  # fmt: skip
    assert [(one.code, one.records, one.fit) for one in report.changed] == [("IMI", 0, "broader")]
    assert "HVOLT" in str(report)
    assert "2 left empty, unknown in 1" in str(report)
    assert "of 5 records 2 lost all their statements" in report.summary()
    assert json.loads(json.dumps(report.to_dict()))["lost"][0]["left_empty"] == 2
    assert [row["fit"] for row in report.to_rows()] == ["lost", "broader"]


def test_a_map_without_loss_says_so():
    report = convert([{"AFIB": None}], "scp", "snomed").report
    assert (report.lost, report.changed, report.left_empty) == ((), (), 0)
    assert report.summary().endswith("0 codes have no counterpart, 0 are said otherwise")


def test_a_long_list_of_losses_is_cut_in_the_sentence_and_whole_in_the_report():
    codes = [code for code in load_system("snomed").table if code not in load_map("snomed", "scp").rows]
    report = convert([dict.fromkeys(codes)], "snomed", "scp").report
    assert f"and {len(codes) - 8} more)" in report.summary()
    assert len(report.lost) == len(codes) == len(report.to_rows())
    assert all(code in str(report) for code in codes)


def test_codes_that_only_the_caller_knows_are_lost_by_name():
    extra = {"999": Statement("SNOMED CT 999")}
    report = convert([{"999": None, NSR: None}], "snomed", "scp", table=extra).report
    assert [(one.code, one.name, one.left_empty) for one in report.lost] == [("999", "SNOMED CT 999", 0)]
    with pytest.raises(DatasetError, match="'snomed' has no code '999'"):
        convert([{"999": None}], "snomed", "scp")


def test_beats_become_the_classes_of_the_standard():
    table = load_system("mitbih").table
    done = convert([{symbol: None} for symbol in table], "mitbih", "aami").statements
    assert [list(found) for found in done] == [[s.groups["aami"]] for s in table.values()]


def test_statements_of_a_record_tell_of_beats_it_holds():
    done = convert([{"SR": 0.0, "PVC": 100.0}, {"BIGU": 0.0}], "scp", "aami")
    assert done.statements == [{"N": 0.0, "V": 100.0}, {}]
    assert [one.code for one in done.report.lost] == ["BIGU"]


def test_unambiguous_scp_statements_survive_a_round_trip():
    there, back = load_map("scp", "snomed"), load_map("snomed", "scp")
    same = [code for code, row in there.rows.items() if row.fit == "same" and code != "ISC_"]
    assert len(same) > 35
    for code in same:
        assert back.rows[there.rows[code].target].target == code
    for code in ("ASMI", "ISCAL", "BIGU", "DIG"):  # said less of: never turned round
        assert there.rows[code].target not in back.rows


@pytest.mark.parametrize(("source", "target"), [("scp", "aha"), ("columns", "snomed"), ("snomed", "snomed")])
def test_a_pair_without_a_map_is_an_error_that_lists_the_maps(source, target):
    with pytest.raises(DatasetError, match=f"no map of labels from '{source}' to '{target}'; there are scp to snomed"):
        convert([{}], source, target)


def test_an_unknown_target_is_an_error_with_the_nearest():
    with pytest.raises(DatasetError, match="unknown label system 'snomde'"):
        convert([{}], "scp", "snomde")


@pytest.mark.real
def test_every_row_of_sph_is_converted_as_published(real_data):
    with (real_data / "cinc2021" / "SPH" / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    expected = [set(row["SNOMEDCTCode"].split(",")) for row in rows]
    assert [set(found) for found in aha(*(row["AHA_Code"] for row in rows))] == expected


@pytest.mark.real
def test_ptb_xl_has_the_counts_that_the_challenges_published(real_data):
    statements = read_ptbxl(real_data)
    done = convert(list(statements.values()), "scp", "snomed")
    counts = Counter(code for found in done.statements for code in found)
    assert counts.keys() == CHALLENGE_COUNTS.keys()
    share = len(statements) / 21837  # the challenges had PTB-XL 1.0.1, before 38 duplicates were removed
    for code, published in CHALLENGE_COUNTS.items():
        assert counts[code] == pytest.approx(published * share, rel=0.02, abs=2), code
    assert [(one.code, one.records) for one in done.report.lost] == [("HVOLT", 56)]


@pytest.mark.real
def test_ptb_xls_own_records_in_the_challenge_have_the_converted_codes(real_data):
    statements = read_ptbxl(real_data)
    compared = 0
    for header in sorted((real_data / "cinc2021" / "PTB_PTBXL").glob("HR*.hea")):
        found = statements.get(str(int(header.stem[2:])))
        if found is None or header.stem == "HR00010":  # 1.0.1 has sinus arrhythmia there, 1.0.3 sinus rhythm
            continue
        dx = next(line for line in header.read_text().splitlines() if line.startswith("#Dx"))
        (done,) = convert([found], "scp", "snomed").statements
        assert done.keys() <= set(dx.split(":")[1].strip().split(","))
        compared += 1
    assert compared >= 8


def read_ptbxl(real_data):
    with (real_data / "ptb-xl" / "ptbxl_database.csv").open(encoding="utf-8") as file:
        return {row["ecg_id"]: json.loads(row["scp_codes"].replace("'", '"')) for row in csv.DictReader(file)}
