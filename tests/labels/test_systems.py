import csv

import numpy as np
import pytest

from einthoven.corpora.synthetic import write_synthetic_corpus
from einthoven.errors import DatasetError, RecipeError
from einthoven.labels import columns_system, load_system, make_task, scp_statement, system_names
from einthoven.labels._tables import data_source
from einthoven.metrics.challenge import challenge_score, challenge_table

SCORED_2020 = [
    "270492004",
    "164889003",
    "164890007",
    "426627000",
    "713427006",
    "713426002",
    "445118002",
    "39732003",
    "164909002",
    "251146004",
    "698252002",
    "10370003",
    "284470004",
    "427172004",
    "164947007",
    "111975006",
    "164917005",
    "47665007",
    "59118001",
    "427393009",
    "426177001",
    "426783006",
    "427084000",
    "63593006",
    "164934002",
    "59931005",
    "17338001",
]
SCORED_2021 = [*SCORED_2020, "6374002", "733534002", "365413008"]
SEVENTEEN = [
    "426783006",
    "426177001",
    "164934002",
    "427393009",
    "713426002",
    "427084000",
    "59118001",
    "164889003",
    "59931005",
    "47665007",
    "445118002",
    "39732003",
    "164890007",
    "164909002",
    "270492004",
    "251146004",
    "284470004",
]


@pytest.mark.parametrize(
    ("system", "task", "n_classes"),
    [
        ("scp", "all", 71),
        ("scp", "diagnostic", 44),
        ("scp", "subdiagnostic", 23),
        ("scp", "superdiagnostic", 5),
        ("scp", "form", 19),
        ("scp", "rhythm", 12),
        ("snomed", "all", 133),
        ("snomed", "cinc2020", 24),
        ("snomed", "cinc2021", 26),
        ("snomed", "dl-ecg-17", 17),
        ("mitbih", "aami", 5),
        ("mitbih", "heartbeat", 2),
        ("aami", "aami", 5),
        ("aami", "heartbeat", 2),
        ("ptbdb", "ptbdb", 2),
        ("aha", "primary", 117),
    ],
)
def test_every_task_has_its_published_number_of_classes(system, task, n_classes):
    task_made = make_task(task, load_system(system).table)
    assert len(task_made.classes) == n_classes
    assert set(load_system(system).class_codes(task)) == set(task_made.classes)
    # every class is told in words
    assert set(task_made.descriptions) == set(task_made.classes)


@pytest.mark.parametrize(("year", "codes"), [(2020, SCORED_2020), (2021, SCORED_2021)])
def test_the_scored_codes_are_all_there_and_merged_as_the_score_merges_them(year, codes):
    classes = load_system("snomed").class_codes(f"cinc{year}")
    assert sorted(code for members in classes.values() for code in members) == sorted(codes)
    assert {frozenset(members) for members in classes.values()} == {
        frozenset(members) for members in challenge_table(year).classes
    }


def test_a_model_of_a_challenge_task_is_scored_through_its_class_names():
    system = load_system("snomed")
    task = make_task("cinc2021", system.table)
    statements = [{"713427006": None}, {"426783006": None, "164889003": None}, {"63593006": None}, {"733534002": None}]
    targets = task.targets(statements)
    codes = [system.code_of(name) for name in task.classes]
    assert challenge_score(targets, targets, codes, 2021) == pytest.approx(1)
    normal = np.zeros_like(targets)
    normal[:, task.classes.index("NSR")] = 1
    assert challenge_score(targets, normal, codes, 2021) == pytest.approx(0)


def test_the_seventeen_classes_keep_their_published_order_and_prolonged_pr_is_first_degree_block():
    classes = load_system("snomed").class_codes("dl-ecg-17")
    assert [members[0] for members in classes.values()] == SEVENTEEN
    assert classes["IAVB"] == ("270492004", "164947007")
    assert [len(members) for members in classes.values()].count(1) == 16


def test_abbreviations_and_codes_are_unique():
    table = load_system("snomed").table
    assert len({s.abbreviation for s in table.values()}) == len(table)
    assert all(s.abbreviation and s.description for s in table.values())
    assert load_system("snomed").code_of("AF") == load_system("snomed").code_of("164889003") == "164889003"
    with pytest.raises(DatasetError, match="no code 'AFLT'.*did you mean 'AFL'"):
        load_system("snomed").code_of("AFLT")


def test_parents_are_codes_of_the_table_and_never_go_in_a_circle():
    table = load_system("snomed").table
    for code in table:
        seen, here = [code], table[code].parents
        while here:
            assert here[0] in table
            assert here[0] not in seen
            seen.append(here[0])
            here = table[here[0]].parents
    assert table["713427006"].parents == ("59118001",)
    assert table["59118001"].parents == ("6374002",)


def test_aami_classes_of_beat_symbols_are_those_of_the_standard():
    classes = load_system("mitbih").class_codes("aami")
    assert {name: "".join(codes) for name, codes in classes.items()} == {
        "N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ",
    }  # fmt: skip
    assert load_system("mitbih").class_codes("heartbeat")["normal"] == tuple("NLRej")
    words = make_task("aami", load_system("mitbih").table).descriptions
    assert words["N"] == "any heartbeat not in the classes S, V, F or Q"  # not that of the symbol N


@pytest.mark.parametrize("symbol", ["+", "~", "|", "[", "!", '"'])
def test_annotations_that_are_no_beats_are_not_in_the_table(symbol):
    with pytest.raises(DatasetError, match="no code"):
        load_system("mitbih").table_for([symbol])


def test_a_compound_statement_is_described_by_its_parts():
    table = load_system("aha").table_for(["147+367", "60+310", "1"])
    assert table["147+367"].description == "T-wave abnormality, inversion"
    assert table["60+310"].parents == ("60",)
    assert table["60+310"].groups == {"category": "Ventricular arrhythmias", "primary": "60"}
    assert make_task("primary", table).class_of == {"147+367": "147", "60+310": "60", "1": "1"}
    assert load_system("aha").table_for(["148+211"])["148+211"].description.endswith("hypokalemia or drug effect")


@pytest.mark.parametrize(
    ("system", "code", "message"),
    [
        ("snomed", "16489003", "'snomed' has no code '16489003'.*did you mean '164889003'.*labels show snomed"),
        ("scp", "NROM", "did you mean 'NORM'"),
        ("snomed", "59118001+310", "no code '59118001\\+310'"),
        ("aha", "310", "a modifier: it follows a statement"),
        ("aha", "60+999", "no code '60\\+999'"),
        ("aha", "999+310", "no code '999\\+310'"),
    ],
)
def test_an_unknown_code_is_an_error_with_the_nearest(system, code, message):
    assert not load_system(system).knows(code)
    with pytest.raises(DatasetError, match=message):
        load_system(system).table_for([code])


def test_many_unknown_codes_are_counted():
    with pytest.raises(DatasetError, match="and 2 more"):
        load_system("scp").table_for([f"X{k}" for k in range(7)])


def test_an_unknown_system_or_task_is_an_error_with_the_nearest():
    with pytest.raises(DatasetError, match="unknown label system 'snomd'.*did you mean 'snomed'.*scp, snomed, aha"):
        load_system("snomd")
    with pytest.raises(RecipeError, match="did you mean 'cinc2021'"):
        load_system("snomed").class_codes("cinc201")


def test_every_table_names_its_source():
    for name in system_names():
        assert len(data_source(name)) > 40
        assert load_system(name).source


def test_a_shared_table_cannot_be_changed():
    with pytest.raises(TypeError):
        load_system("scp").table["NEW"] = load_system("scp").table["NORM"]


def test_columns_of_ones_own_are_a_system():
    own = columns_system(["cat", "dog"])
    assert own.name == "columns"
    assert make_task("all", own.table).classes == ("cat", "dog")
    assert own.table_for(["dog"])["dog"].description == "dog"
    with pytest.raises(DatasetError, match="names of their own, got 'cat'"):
        columns_system(["cat", "cat"])
    with pytest.raises(DatasetError, match="got ' '"):
        columns_system([" "])


def test_the_synthetic_corpus_speaks_the_same_scp_codes(tmp_path):
    write_synthetic_corpus(tmp_path / "s", 12, seed=0)
    with (tmp_path / "s" / "scp_statements.csv").open(encoding="utf-8") as file:
        codes = {next(iter(row.values())) for row in csv.DictReader(file)}
    load_system("scp").table_for(codes)


@pytest.mark.real
def test_the_scp_table_is_ptb_xls(real_data):
    with (real_data / "ptb-xl" / "scp_statements.csv").open(encoding="utf-8") as file:
        rows = {next(iter(row.values())): row for row in csv.DictReader(file)}
    assert dict(load_system("scp").table) == {code: scp_statement(code, row) for code, row in rows.items()}
