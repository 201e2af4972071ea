import pytest

from einthoven.errors import DatasetError
from einthoven.labels import explain_code, find_classes, find_codes


@pytest.mark.parametrize(
    ("text", "system", "found"),
    [
        ("164889003", None, [("snomed", "164889003")]),
        ("afib", None, [("scp", "AFIB")]),
        ("RBBB", None, [("snomed", "59118001")]),
        ("LVH", None, [("scp", "LVH"), ("snomed", "164873001")]),
        ("60+310", None, [("aha", "60+310")]),
        ("mobitz type ii", "aha", [("aha", "84")]),
        ("V", "aami", [("aami", "V")]),
    ],
)
def test_codes_are_found_by_number_abbreviation_or_words(text, system, found):
    assert find_codes(text, system) == found


def test_a_class_of_several_codes_is_found_by_its_name():
    sub, sttc = find_classes("sttc", "scp")
    assert (sttc.task, sttc.description, len(sttc.codes)) == ("superdiagnostic", "ST/T change", 13)
    assert sub.task == "subdiagnostic"
    assert find_codes("sttc") == []
    assert {(one.system, one.task) for one in find_classes("RBBB")} == {("snomed", "cinc2020"), ("snomed", "cinc2021")}
    assert find_classes("AFIB") == []


def test_words_are_searched_in_every_system():
    found = find_codes("bundle branch block")
    assert {system for system, _ in found} >= {"scp", "snomed", "mitbih"}
    assert ("scp", "CLBBB") in found


def test_nothing_found_names_the_nearest():
    with pytest.raises(DatasetError, match="like 'IRBB'.*did you mean 'IRBBB'"):
        find_codes("IRBB")
    with pytest.raises(DatasetError, match="unknown label system 'scpp'"):
        find_codes("NORM", "scpp")


def test_a_code_is_told_with_its_surroundings():
    found = explain_code("snomed", "59118001")
    assert found.parents == {"6374002": "bundle branch block"}
    assert set(found.children) == {"713427006", "713426002"}
    assert found.equivalents == {"cinc2020": ("713427006",), "cinc2021": ("713427006",)}
    assert found.maps["scp"].target == "CRBBB"
    assert [(system, code) for system, code, _ in found.mapped_from] == [("aha", "106")]


def test_a_code_without_counterpart_says_so():
    assert explain_code("scp", "HVOLT").maps["snomed"] is None
    assert explain_code("aha", "30+309").maps["snomed"].note == "read as 30"
