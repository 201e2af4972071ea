import csv
import json
import subprocess
import sys

from einthoven.corpora.synthetic import write_synthetic_corpus


def einthoven(*args):
    command = [sys.executable, "-m", "einthoven.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(*args):
    done = einthoven(*args)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_list_and_show_print_systems_tasks_and_maps():
    done = einthoven("labels", "list")
    assert done.returncode == 0, done.stderr
    for part in ("scp        71 codes", "26 classes in task cinc2021", "scp to snomed", "CC BY 4.0"):
        assert part in done.stdout
    shown = einthoven("labels", "show", "snomed", "--task", "cinc2021").stdout.splitlines()
    assert len(shown) == 26
    assert any("RBBB" in line and "59118001, 713427006" in line for line in shown)
    assert "+310" in einthoven("labels", "show", "aha").stdout
    assert "did you mean 'cinc2021'" in refused("labels", "show", "snomed", "--task", "cinc201")
    assert "did you mean 'scp'" in refused("labels", "show", "scpp")


def test_explain_tells_what_a_code_is_everywhere():
    done = einthoven("labels", "explain", "59118001")
    assert done.returncode == 0, done.stderr
    for part in ("right bundle branch block", "part of 6374002", "class RBBB, with 713427006", "from aha: 106"):
        assert part in done.stdout
    assert "no counterpart" in einthoven("labels", "explain", "HVOLT").stdout
    assert "more: add words or --system" in einthoven("labels", "explain", "al").stdout
    assert "did you mean" in refused("labels", "explain", "IRBB")


def test_convert_writes_the_table_and_its_losses(tmp_path):
    (tmp_path / "in.csv").write_text("id,AHA_Code\n1,22;23\n2,106\n3,1\n4,10;104+312\n")
    done = einthoven("labels", "convert", tmp_path / "in.csv", tmp_path / "out.csv", "--from", "aha", "--to", "snomed")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text() == (
        "id,snomed_codes\n1,426177001;427393009\n2,59118001\n3,426783006\n4,\n"
    )
    assert "of 4 records 1 lost all their statements" in done.stdout
    with (tmp_path / "out.losses.csv").open() as file:
        rows = {row["code"]: row for row in csv.DictReader(file)}
    assert rows["10"]["fit"] == rows["104+312"]["fit"] == "lost"
    assert rows["10"]["left_empty"] == "1"
    assert rows["1"] == {
        "source": "aha", "target": "snomed", "code": "1", "name": "normal ECG", "fit": "implied",
        "becomes": "426783006", "note": rows["1"]["note"], "records": "1", "left_empty": "0", "unknown": "0",
    }  # fmt: skip


def test_convert_of_columns_writes_every_code_they_can_become(tmp_path):
    (tmp_path / "in.csv").write_text("id,AFIB,SR\n1,0,1\n2,0,\n")
    where = (tmp_path / "in.csv", tmp_path / "out.csv", "--from", "scp", "--to", "snomed")
    done = einthoven("labels", "convert", *where, "--report", tmp_path / "r.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text() == "id,164889003,426783006\n1,0,1\n2,0,\n"
    assert (tmp_path / "r.csv").is_file()


def test_convert_writes_nothing_when_a_line_is_wrong_or_a_file_would_be_lost(tmp_path):
    table = tmp_path / "in.csv"
    table.write_text("id,AHA_Code\n1,22\n2,999\n")
    said = refused("labels", "convert", table, tmp_path / "out.csv", "--from", "aha", "--to", "snomed")
    assert "line 3, column 'AHA_Code'" in said
    assert "overwritten" in refused("labels", "convert", table, table, "--from", "aha", "--to", "snomed")
    out = tmp_path / "out.csv"
    assert "both" in refused("labels", "convert", table, out, "--from", "aha", "--to", "snomed", "--report", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


def test_sinus_rhythm_is_imputed_only_when_asked_and_its_rows_are_written(tmp_path):
    (tmp_path / "in.csv").write_text("id,AHA_Code\n1,147\n2,50\n")
    training = "".join(f"{k},{'164889003' if k % 2 else '426783006;164934002'}\n" for k in range(600))
    (tmp_path / "train.csv").write_text("id,codes\n" + training)
    where = ("labels", "convert", tmp_path / "in.csv", tmp_path / "out.csv", "--from", "aha")
    asked = ("--impute-sinus-rhythm", tmp_path / "train.csv")
    done = einthoven(*where, "--to", "snomed", *asked)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text() == "id,snomed_codes\n1,164934002;426783006\n2,164889003\n"
    assert "imputed in 1 of 2 rows" in done.stdout
    kept = json.loads((tmp_path / "out.sinus-rhythm.json").read_text())
    assert kept["imputed_rows"] == [0]
    assert len(kept["coefficients"]) == 16
    (tmp_path / "scp.csv").write_text("id,codes\n1,AFIB\n")
    other = ("labels", "convert", tmp_path / "scp.csv", tmp_path / "o.csv", "--from", "scp", "--to", "aami", *asked)
    assert "works on SNOMED CT codes" in refused(*other)


def test_prepare_converts_the_labels_and_keeps_the_report(tmp_path):
    write_synthetic_corpus(tmp_path / "s", 12, seed=0)
    done = einthoven("prepare", "ptb-xl", tmp_path / "s", tmp_path / "d", "--labels", "snomed", "--workers", 1)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert about["label_system"] == "snomed"
    assert any("labels converted from scp to snomed" in note for note in about["listing_notes"])
    assert (tmp_path / "d" / "label_losses.csv").read_text().startswith("source,target,code,name,fit,")
    assert "already" in refused("prepare", "ptb-xl", tmp_path / "s", tmp_path / "e", "--labels", "scp")
