"""What the runner of the documentation is told, all of it: what is not run and why, what is made smaller, what is text.

Everything that stands in none of these tables is run as the page has it. A new block that cannot be run therefore fails
until it is listed here, with its reason.
"""

# Commands that are not executed: a pattern of the whole command, and why. They must still parse: the program is known,
# every option exists, every key of a recipe is one.
NOT_RUN = [
    (r"pip install .*", "installs packages; tests/packaging does that in fresh environments"),
    (r"python -m venv .*|source .*", "makes or enters an environment"),
    (r"make .*", "a target of the Makefile, run by hand or by CI"),
    (r"git clone .*", "needs the network"),
    (r"(docker|podman|conda|kubectl|sbatch|openssl|chmod) .*", "needs a program that is not part of Python"),
    (r"ray start .*|einthoven .* --ray .*", "starts or joins a cluster; tests/cluster does that with small data"),
    (r"einthoven evaluate --predictions scores", "judges what the command with --ray has written"),
    (r"einthoven merge .*", "needs datasets of two hospitals; tests/test_growing_datasets.py merges"),
    (r"einthoven beats .*", "needs recordings of minutes; tests/workflow/test_beats_of_recordings.py judges some"),
    (r"einthoven download (?!--list).*", "needs the network"),
    (r"tar -xf data/sph/records.tar.gz .*", "unpacks what was downloaded"),
    (r"\S*python benchmarks/.*", "minutes to hours; each script is run when its figures are taken"),
    (r"python -m http.server", "serves until it is stopped; tests/edge serves and opens the page"),
    (r"\.venv-edge/.*", "needs the environment of make edge; tests/edge/test_edge_formats.py runs there"),
    (r"einthoven bench .*--compile", "compiles for minutes"),
    (r"einthoven (serve|explore)( .*)?", "serves until it is stopped; tests/serve and tests/explorer start it"),
    (r"curl .*", "asks a server that is not running"),
    (r"einthoven train recipes/ptbxl-(tasks|from-all)\.yaml.*", "rare statements have no record in so small a corpus"),
    (r"einthoven train .*\bdata.task=all\b.*", "rare statements have no record in a small synthetic corpus"),
    (r"einthoven train recipes/earlier/(dl-ecg|ecg-multi|heart-reader|ecg_ptbxl).*", "needs corpora of other layouts"),
]

# Python blocks that are not executed, by page and first line; they must still compile, and what they import exist.
PYTHON_NOT_RUN = {
    ("docs/api.md", "import json"): "asks a server that is not running; tests/serve asks one",
}

# What would take hours, made smaller: in commands, in Python blocks, and in the recipes that lie in the sandbox.
SMALLER = [
    (r"--records \d{3,}", "--records 160"),
    (r"(einthoven explain .*--records) \d+", r"\1 4"),
    (r"training\.epochs=\d+", "training.epochs=1"),
    (r"training__epochs=\d+", "training__epochs=1"),
    (r"\bepochs(\"?): \d+", r"epochs\1: 1"),
    (r"\bepochs=\d+", "epochs=1"),
    (r"xresnet1d(18|34|50|101)\b", "map583_resnet1d_10"),
    (
        r"(?<=name: )(resnet1d_wang, options: \{stem_stride: 2\}|ecgcnn_resnet|map583_resnet1d_v2_10)",
        "map583_resnet1d_10",
    ),
    (r"--finetune \d+", "--finetune 1"),
    (r"^(einthoven split \S+ --method .*)$", r"\1 --overwrite"),  # the sandbox has splits already
    (r"^(einthoven export .*)$", r"\1 --max-drop 0.3"),  # 24 records are few to prove anything on
    (r"^(einthoven bench [^-]+)$", r"\1 --rounds 1"),
    (r"--rounds \d+", "--rounds 1"),
    (r"sweep\.trials=\d+", "sweep.trials=2"),
    (r"n_records=\d+", "n_records=8"),
    (r"\b([ab])\.(xml|dcm)\b", r"\1.csv"),  # files of vendors, which nothing here can write
]

# What a command makes and the sandbox has already, made otherwise: it is removed before.
MADE_ANEW = [
    (r"einthoven prepare ptb-xl corpora/ptb-xl --labels snomed", "datasets/ptb-xl-100"),
    (r"einthoven prepare folder clinic .*", "datasets/folder-100"),
    (r"einthoven prepare ptb-xl .*feature_sets=.*", "datasets/ptb-xl-plus"),
]

# Blocks whose commands are alternatives, by page and first command: each begins in a fresh copy of the sandbox.
ALTERNATIVES = {
    ("docs/corpora.md", "einthoven prepare folder clinic"),
    ("docs/corpora.md", "einthoven prepare mitdb PATH"),
}

# Commands that say with their exit code what they found.
ENDS_WITH: list[tuple[str, int]] = []

# Blocks without a language that are no commands, by page and first line.
PLAIN_TEXT = {
    (
        "docs/architecture.md",
        "build   files -> formats -> Record -> corpora (table + labels + folds) -> preparation -> Dataset",
    ),
    ("docs/corpora.md", "path,patient,age,sex,fold,AF,pacemaker"),
}

# Shell blocks that show output below their commands, by page and first line. Where the second word is "exact", every
# line that is shown must be in what the commands print.
SHOWS_OUTPUT = {
    ("docs/labels.md", "$ einthoven labels list"): "exact",
    ("docs/labels.md", "$ einthoven labels explain 59118001"): "exact",
    ("docs/labels.md", "$ einthoven labels convert metadata.csv sph.csv --from aha --to snomed --column AHA_Code"): "",
    (
        "docs/labels.md",
        "$ einthoven labels convert metadata.csv out.csv --from aha --to snomed --column AHA_Code "
        "--impute-sinus-rhythm ptbxl-snomed.csv",
    ): "",
    ("docs/splits.md", "einthoven split datasets/ptb-xl-100 --method kfold --recipes recipes/kfold"): "",
}

# Words in capitals that a reader replaces, and names that a page takes for given: what they are in the sandbox.
PLACES = {
    "README.md": {"corpora/cinc2021": "data/cinc2021", "corpora/sph": "data/sph"},
    "docs/benchmarks.md": {"PTBXL_DIR": "ptb-xl", "mitdb": "corpora/mitdb"},
    "docs/corpora.md": {"PATH": "corpora/mitdb", "FOLDER": "corpora/heartbeat-csv"},
}

# The same for single commands: a pattern of the command, the word in it, and what is put there.
MEANT = [
    (r"einthoven sweep recipe.yaml.*", "recipe.yaml", "sweep.yaml"),
    (r"einthoven prepare folder clinic --set fs=250.*", "clinic", "three-leads"),
    (r"einthoven split DATASET --(name shuffle|from-csv).*", "DATASET", "datasets/cinc2021-100"),
]

# Python that a page takes for given, run before its first Python block.
GIVEN = {
    "README.md": """
import numpy as np
dataset = __import__("einthoven").open_dataset("datasets/ptb-xl-100")
X = np.stack([dataset.signal(row) for row in range(len(dataset))])
y = np.array(["normal" if "NORM" in said else "other" for said in dataset.records.statements])
leads = dataset.spec.leads
X = np.repeat(X, 5, axis=2)  # the page says 500 Hz
""",
    "docs/features.md": """
from einthoven import open_dataset, read_record
record = read_record("ecg.hea")
""",
    "docs/formats.md": """
from pathlib import Path
header_bytes = Path("ecg.hea").read_bytes().replace(b"ecg.", b"a.").replace(b"ecg ", b"a ", 1)
signal_bytes = Path("ecg.dat").read_bytes()
""",
}
