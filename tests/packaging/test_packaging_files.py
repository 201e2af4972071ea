"""Metadata and environment files: extras, versions and names that exist, and what each says of itself."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from types import SimpleNamespace

import pytest
import yaml
from fresh_environment import ELSEWHERE, PROMISES, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "scripts"))
import licences

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==")
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
    if "==" in line and "#" not in line
)


def test_every_extra_says_what_it_brings():
    assert set(PROMISES) | ELSEWHERE == set(PROJECT["optional-dependencies"])


def test_only_the_tested_version_of_python_is_in_the_metadata():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named == [f"{sys.version_info[0]}.{sys.version_info[1]}"]


def test_the_package_is_typed_and_has_its_console_script():
    assert (REPOSITORY / "src" / "einthoven" / "py.typed").is_file()
    assert PROJECT["scripts"] == {"einthoven": "einthoven.cli.main:run"}
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_every_dependency_that_an_extra_needs_is_pinned():
    wanted = {re.split(r"[\[>=<;! ]", each)[0].lower() for each in PROJECT["dependencies"]}
    for name, packages in PROJECT["optional-dependencies"].items():
        if name != "edge":  # constraints-edge.txt
            wanted |= {re.split(r"[\[>=<;! ]", each)[0].lower() for each in packages}
    missing = {name for name in wanted - {"einthoven"} if name.replace("_", "-") not in {p.lower() for p in PINNED}}
    assert not missing


def _pip_of_conda():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    return environment, next(each["pip"] for each in environment["dependencies"] if isinstance(each, dict))


def test_the_conda_environment_has_the_tested_python_the_pinned_torch_and_extras_that_exist():
    environment, pip = _pip_of_conda()
    assert environment["name"] == "einthoven"
    assert f"python={sys.version_info[0]}.{sys.version_info[1]}" in environment["dependencies"]
    assert f"torch=={PINNED['torch']}" in pip
    assert "--constraint constraints.txt" in pip
    (extras,) = re.findall(r"\[([\w,-]+)\]", " ".join(pip))
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_container_installs_pinned_extras_that_exist_from_files_that_are_sent():
    text = (REPOSITORY / "Containerfile").read_text(encoding="utf-8")
    assert f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim" in text
    assert "-c constraints.txt" in text
    (extras,) = re.findall(r'"\.\[([\w,-]+)\]"', text)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert re.search(r"^USER (?!root)\w+", text, re.M)
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for word in line.split()[:-1]}
    assert copied <= sent
    assert all((REPOSITORY / each).exists() for each in sent)


@pytest.mark.parametrize("name", ["environment.yml", "Containerfile"])
def test_what_was_not_run_is_said(name):
    assert "not run" in (text := (REPOSITORY / name).read_text()) or "not built" in text


@pytest.mark.parametrize("target", ["coverage", "bench", "licences", "docs"])
def test_make_knows_its_targets(target):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for script in re.findall(r"(?:benchmarks|scripts)/\w+\.py", done.stdout):
        assert (REPOSITORY / script).is_file()


def _stating(**fields):
    told = {"Name": "x", **{key.replace("_", "-"): value for key, value in fields.items()}}

    class About(dict):
        def get_all(self, key):
            return told.get("Classifiers") if key == "Classifier" else None

    return SimpleNamespace(metadata=About(told), version="1")


@pytest.mark.parametrize(
    ("fields", "licence", "copyleft"),
    [
        ({"License_Expression": "MIT OR Apache-2.0"}, "MIT OR Apache-2.0", ""),
        ({"Classifiers": ["License :: OSI Approved :: BSD License"]}, "BSD License", ""),
        ({"Classifiers": ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"]}, None, "strong"),
        ({"License_Expression": "AGPL-3.0-only"}, None, "strong"),
        ({"License": "GNU Lesser General Public License v3"}, None, "weak"),
        ({"License_Expression": "LGPL-2.1 OR MPL-2.0"}, None, "weak"),
        ({"License_Expression": "MPL-2.0"}, None, "weak"),
        ({"License": "UNKNOWN"}, "", ""),
        ({"License": "BSD\nand three pages of it"}, "BSD", ""),
    ],
)
def test_a_licence_is_read_where_it_is_stated_and_copyleft_is_marked(fields, licence, copyleft):
    row = licences.describe(_stating(**fields))
    assert row.copyleft == copyleft
    assert licence is None or row.licence == licence


def test_what_the_core_depends_on_is_not_copyleft():
    rows = {row.name.lower(): row for row in licences.table(distributions())}
    core = [re.split(r"[\[>=<]", each)[0].lower() for each in PROJECT["dependencies"]]
    assert {name: rows[name].licence for name in core if rows[name].copyleft or not rows[name].licence} == {}
