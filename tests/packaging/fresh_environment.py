"""Wheel and sdist of a copy of the sources, and virtual environments that hold nothing but them."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CONSTRAINTS = REPOSITORY / "constraints.txt"

# What `pip install einthoven[EXTRA]` promises to make importable, beside the core: others' packages, then our rooms.
PROMISES = {
    "train": [
        "torch",
        "tensorboard",
        "onnx",
        "onnxscript",
        "lion_pytorch",
        "einthoven.training.loop",
        "einthoven.models",
    ],
    "report": ["matplotlib", "jinja2", "einthoven.plots.curves", "einthoven.evaluation.report"],
    "wfdb": ["wfdb", "soundfile", "einthoven.formats.wfdb_package"],
    "formats": ["pydicom", "h5py", "defusedxml", "einthoven.formats.dicom", "einthoven.formats.hdf5"],
    "download": ["urllib3", "einthoven.downloads.client"],
    "labels": ["sklearn", "einthoven.labels.imputation"],
    "features": ["neurokit2", "einthoven.features"],
    "sweep": ["optuna", "cmaes", "sklearn"],
    "mlflow": ["mlflow"],
    "prune": ["torch_pruning", "einthoven.models.pruning"],
    "explain": ["torch", "captum", "matplotlib", "neurokit2", "einthoven.explain"],
    "serve": ["fastapi", "uvicorn", "multipart", "prometheus_client", "einthoven.serve"],
    "explore": ["streamlit", "plotly", "captum", "pydicom", "einthoven.explorer"],
    "remote": ["fsspec", "s3fs"],
    "ray": ["ray", "torch", "optuna"],
    "all": ["torch", "matplotlib", "wfdb", "pydicom", "captum", "fastapi", "streamlit", "ray", "s3fs"],
}
# Not in the loop: `edge` has an environment and pins of its own (make edge), `dev` and `docs` are this very one.
ELSEWHERE = {"edge", "dev", "docs"}


def copy_sources(folder):
    """What a build needs, without what an earlier build left behind."""
    shutil.copytree(
        REPOSITORY / "src" / "einthoven", folder / "src" / "einthoven", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def build(source, dist):
    """Build sdist and wheel (the wheel from the sdist, as `python -m build` does); return both."""
    run([sys.executable, "-m", "build", "--outdir", dist, source])
    (sdist,), (wheel,) = dist.glob("einthoven-*.tar.gz"), dist.glob("einthoven-*.whl")
    return sdist, wheel


def install(folder, what):
    """A virtual environment at ``folder`` with ``what`` in it; return its folder of programs."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run([programs / "python", "-m", "pip", "install", "--quiet", "--no-compile", "-c", CONSTRAINTS, what], cwd=folder)
    return programs


def run(command, cwd=None):
    """Run outside this checkout's environment; what failed is shown with its last lines."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, cwd=cwd, env=alone)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout
