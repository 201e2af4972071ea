"""A folder in which the commands of the pages find what they name: small corpora, prepared datasets, a trained run.

All of it is synthetic. Corpora have the layouts of the real ones, files the names that the pages give them.
"""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
from doc_blocks import ROOT
from doc_tables import SMALLER

sys.path.insert(0, str(ROOT / "tests" / "corpora"))  # the writers of corpora that the corpora's own tests use
import test_cinc
import test_heartbeat_csv
import test_sph
from mit_writer import regular, write_record

from einthoven import load_recipe
from einthoven.corpora import open_corpus
from einthoven.corpora.mitdb import DS1, DS2
from einthoven.corpora.synthetic import write_synthetic_corpus
from einthoven.dataset import open_dataset
from einthoven.formats import read_record
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec
from einthoven.workflow import evaluate, train
from einthoven.workflow.split_outputs import write_tables
from einthoven.workflow.splitting import make_split

RECIPE = """
name: mine
data: {dataset: datasets/ptb-xl-100}
model: {name: map583_resnet1d_10}
training: {epochs: 2, batch_size: 32, lr: 5e-3, keep_every: 1, predictions_every: 1}
evaluation: {n_resamples: 100}
"""
SWEEP = RECIPE + "sweep: {trials: 2, parameters: {training.lr: {low: 1e-3, high: 1e-2, log: true}}}\n"


def smaller(text):
    """Apply the table of substitutions."""
    for pattern, instead in SMALLER:
        text = re.sub(pattern, instead, text, flags=re.M)
    return text


def build(folder):
    """Fill ``folder``, the working directory, with everything that the pages name."""
    _corpora(folder)
    _datasets(folder)
    _recipes(folder)
    _runs(folder)
    _files(folder)
    return folder


def _corpora(folder):
    write_synthetic_corpus(folder / "ptb-xl", 240, seed=1)
    table = folder / "ptb-xl" / "ptbxl_database.csv"  # it says that it is synthetic; here it stands for the real one
    table.write_text(table.read_text().replace(",synthetic,", ",PTB-XL,"))
    for name in ("corpora", "data"):
        (folder / name).mkdir()
        (folder / name / "ptb-xl").symlink_to("../ptb-xl")
    _mitdb(folder / "corpora" / "mitdb")
    (folder / "corpora" / "heartbeat-csv").mkdir()
    test_heartbeat_csv.write_table(folder / "corpora" / "heartbeat-csv", "mitbih_train.csv", test_heartbeat_csv.LABELS)
    _cinc(folder / "data" / "cinc2021")
    _sph(folder / "data" / "sph")
    _plus(folder / "data" / "ptb-xl-plus" / "features")
    _clinic(folder)


def _mitdb(folder):
    folder.mkdir()
    for name in (*DS1, *DS2):
        write_record(folder, str(name), regular("NNVNNANNFNNQNNVNNANNFNNQNNVNNANNFNNQNNVNNA"))


def _cinc(folder):
    codes = ("426783006", "164889003", "59118001", "427084000,164934002", "426177001")
    for k in range(40):
        source, letter = (("georgia", "E"), ("cpsc_2018", "A"))[k % 2]
        place = folder / "training" / source / "g1"
        test_cinc.write_record(place, f"{letter}{k + 1:0{5 - k % 2}d}", n=5000, dx=codes[k % 5], age=str(30 + k))


def _sph(folder):
    for name in ("A00001", "A00002", "A00003"):
        test_sph.write_h5(folder / "records" / f"{name}.h5", 6000 if name == "A00002" else 5000)
    test_sph.write_table(folder, *test_sph.ROWS)


def _plus(folder):
    folder.mkdir(parents=True)
    for name in ("12sl", "ecgdeli", "unig"):
        rows = ["ecg_id,QRS_Dur_Global,HR__Global", *(f"{k},{80 + k % 40},{55 + k % 50}" for k in range(1, 241))]
        (folder / f"{name}_features.csv").write_text("\n".join(rows) + "\n")


def _clinic(folder):
    """Files of one's own: WFDB of a hospital, with two tables that say the same; and three leads in microvolts."""
    labels, findings = ["path,patient,age,sex,AF,pacemaker,dx"], ["filename,mrn,AF"]
    for k, header in enumerate(_headers(folder)[:60]):
        _copy_record(header, folder / "clinic" / f"scan-{k}")
        af = int(k % 3 == 0)
        dx = "164889003" if af else "426783006"
        labels.append(f"scan-{k}.hea,p{k // 2},{40 + k % 40},{'FM'[k % 2]},{af},{('0', '1', '')[k % 3]},{dx}")
        findings.append(f"scan-{k}.hea,p{k // 2},{af}")
    (folder / "clinic" / "labels.csv").write_text("\n".join(labels) + "\n")
    (folder / "clinic" / "findings.csv").write_text("\n".join(findings) + "\n")
    raw = folder / "three-leads"
    raw.mkdir()
    for k in range(4):
        signal = read_record(_headers(folder)[k]).signal[[0, 1, 6]].T * 1000
        np.savetxt(raw / f"{k}.csv", np.repeat(signal, 3, axis=0)[:2500], delimiter=",", fmt="%.1f")
    rows = [f"{k}.csv,p{k},{k % 2}" for k in range(4)]
    (raw / "labels.csv").write_text("\n".join(["path,patient,AF", *rows]) + "\n")


def _headers(folder):
    return sorted((folder / "ptb-xl" / "records100").rglob("*.hea"))


def _copy_record(header, target):
    """A WFDB record under another name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".hea").write_text(header.read_text().replace(header.stem, target.name))
    shutil.copy(header.with_suffix(".dat"), target.with_suffix(".dat"))


def _datasets(folder):
    datasets = folder / "datasets"
    prepare(open_corpus("ptb-xl", folder / "ptb-xl"), datasets / "ptb-xl-100", SignalSpec(), workers=1)
    make_split(open_dataset(datasets / "ptb-xl-100"), "kfold")
    prepare(open_corpus("folder", folder / "clinic"), datasets / "folder-100", SignalSpec(), workers=1)
    prepare(open_corpus("cinc2021", folder / "data" / "cinc2021"), datasets / "cinc2021-100", SignalSpec(), workers=1)
    challenge = open_dataset(datasets / "cinc2021-100")
    made = make_split(challenge, "shuffle", shares=(0.6, 0.2, 0.2), ungrouped=True)
    write_tables(challenge, made, folder, ".mat")  # train.csv, validation.csv and test.csv of another toolkit
    (folder / "DATASET").symlink_to("datasets/ptb-xl-100")


def _recipes(folder):
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        target = folder / recipe.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(smaller(recipe.read_text(encoding="utf-8")))
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "sweep.yaml").write_text(SWEEP)
    for name in ("mine", "kfold"):
        (folder / "recipes" / name).mkdir()
        (folder / "recipes" / name / "mine.yaml").write_text(RECIPE)


def _runs(folder):
    """Three trainings, of three seeds; what the pages call by other names are copies of them."""
    for seed, names in enumerate((("a", "ptbxl-superdiagnostic"), ("b",), ("c",))):
        run = train(load_recipe(folder / "recipe.yaml", [f"seed={seed}"]), folder / "trained")
        evaluate(str(run.path), split="test")
        for name in (*names, f"mine-seed{seed}"):
            shutil.copytree(run.path, folder / "runs" / name / "001")
        shutil.copytree(run.path, folder / f"RUN{seed + 1}")
    for place in ("runs/mine/001", "RUN"):
        shutil.copytree(folder / "RUN1", folder / place)
    for name in ("BUNDLE", "my-bundle"):
        shutil.copytree(folder / "RUN1" / "bundle", folder / name)
    shutil.rmtree(folder / "trained")


def _files(folder):
    for name in ("ecg", "a", "b", "records/one", "records/two"):
        _copy_record(_headers(folder)[1], folder / name)
    record = read_record(folder / "ecg.hea")
    fine = np.repeat(record.signal, 5, axis=1).T  # 500 Hz
    timed = np.column_stack([np.arange(len(fine)) / 500, fine])
    for name in ("my.csv", "my-ecg.csv", "ecg.csv"):
        np.savetxt(folder / name, fine, delimiter=",", header=",".join(record.leads), comments="", fmt="%.4f")
    for name in ("a.csv", "b.csv"):
        np.savetxt(
            folder / name, timed, delimiter=",", header=f"time,{','.join(record.leads)}", comments="", fmt="%.4f"
        )
    np.savetxt(folder / "raw.csv", fine * 1000, delimiter=",", fmt="%.1f")
    for k, header in enumerate(_headers(folder)[:20]):
        _copy_record(header, folder / "ward" / f"{'an'[k % 2]}{k // 2}")
    shutil.copy(folder / "ptb-xl" / "ptbxl_database.csv", folder)
    shutil.copy(folder / "data" / "sph" / "metadata.csv", folder)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (400, 2))
    p = np.clip(0.3 * truth + rng.uniform(0, 0.7, truth.shape), 0, 1)
    rows = [f"{k},p{k // 2},{a},{b},{c:.4f},{d:.4f}" for k, ((a, b), (c, d)) in enumerate(zip(truth, p, strict=True))]
    (folder / "theirs.csv").write_text("\n".join(["record_id,patient_id,y_AF,y_AFL,p_AF,p_AFL", *rows]) + "\n")


def copy(base: Path, folder: Path):
    """A copy of the whole sandbox, for one page to write into."""
    shutil.copytree(base, folder, symlinks=True, dirs_exist_ok=True)
    return folder
