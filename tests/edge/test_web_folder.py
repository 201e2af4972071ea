"""Writing the page: whole or not at all, only where it belongs, and with the runtime that was pinned."""

import base64
import hashlib
import io
import json
import shutil
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from einthoven.bundle import load_bundle
from einthoven.edge import web, web_runtime
from einthoven.edge.web import write_web
from einthoven.errors import BundleError, EinthovenError
from einthoven.files import sha256_of
from einthoven.spec import SignalSpec

FILES = {"ort.js": b"export const env = {};\n", "ort.wasm": b"\0asm"}


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("ptbxl-superdiagnostic")


@pytest.fixture
def graph(bundle):
    return bundle.path / "model.onnx"


def package(extra: bytes = b"") -> bytes:
    """A package in the layout of onnxruntime-web, a few bytes large."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, (packed, _) in web_runtime.RUNTIME_FILES.items():
            entry = tarfile.TarInfo(f"package/dist/{packed}")
            entry.size = len(FILES[name])
            archive.addfile(entry, io.BytesIO(FILES[name]))
    return stream.getvalue() + extra


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A registry of one small package: npm is a script that delivers ``package.tgz`` and counts its calls."""
    known = {
        name: (packed, hashlib.sha256(FILES[name]).hexdigest())
        for name, (packed, _) in web_runtime.RUNTIME_FILES.items()
    }
    monkeypatch.setattr(web_runtime, "RUNTIME_FILES", known)
    content = package()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    monkeypatch.setattr(web_runtime, "INTEGRITY", f"sha512-{digest}")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "package.tgz").write_bytes(content)
    script = folder / "npm"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/calls\n{shutil.which("cp")} {folder}/package.tgz "$4/onnxruntime-web.tgz"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def calls(npm: Path) -> list[str]:
    return (npm / "calls").read_text().splitlines() if (npm / "calls").exists() else []


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("bin", "cache"))


def test_the_runtime_is_fetched_once_at_its_pinned_version_and_taken_from_the_cache_after(npm, bundle, graph, tmp_path):
    said = []
    write_web(bundle, graph, tmp_path / "one", announce=said.append)
    (npm / "npm").unlink()  # the second page is made without npm
    write_web(bundle, graph, tmp_path / "two", announce=said.append)
    assert [call.split()[:2] for call in calls(npm)] == [["pack", f"onnxruntime-web@{web_runtime.VERSION}"]]
    assert sum("fetching" in line for line in said) == 1
    for name, content in FILES.items():
        assert (tmp_path / "two" / "onnxruntime" / name).read_bytes() == content


def test_a_damaged_cache_is_fetched_again(npm):
    folder = web_runtime.fetch_runtime(lambda text: None)
    (folder / "ort.wasm").write_bytes(b"cut")
    assert web_runtime.fetch_runtime(lambda text: None) == folder
    assert (folder / "ort.wasm").read_bytes() == FILES["ort.wasm"]
    assert len(calls(npm)) == 2


def test_without_npm_and_cache_the_error_says_what_to_install(npm, bundle, graph, tmp_path):
    (npm / "npm").unlink()
    with pytest.raises(
        EinthovenError, match=r"onnxruntime-web 1\.\d+\.\d+, which npm fetches once, and npm is not on the"
    ):
        write_web(bundle, graph, tmp_path / "page")
    assert left_behind(tmp_path) == []


def test_a_package_with_another_checksum_is_not_used(npm, bundle, graph, tmp_path):
    (npm / "package.tgz").write_bytes(package(b"more"))
    with pytest.raises(EinthovenError, match="npm delivered another onnxruntime-web"):
        write_web(bundle, graph, tmp_path / "page")
    assert left_behind(tmp_path) == []
    assert not web_runtime.cache_folder().exists()


def test_what_npm_says_when_it_fails_is_passed_on(npm, tmp_path):
    (npm / "npm").write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    with pytest.raises(EinthovenError, match="npm could not fetch.*ENOTFOUND.*npm config get registry"):
        web_runtime.fetch_runtime(lambda text: None)


def test_the_folder_holds_the_graph_the_checksums_and_how_to_use_it(npm, bundle, graph, tmp_path):
    folder = write_web(bundle, graph, tmp_path / "deep" / "page")
    about = json.loads((folder / "model.json").read_text())
    assert set(about["files"]) == {
        "model.onnx", "novelty.safetensors", "onnxruntime/ort.js", "onnxruntime/ort.wasm", "synthetic-ecg.csv",
    }  # fmt: skip
    assert all(sha256_of(folder / name) == digest for name, digest in about["files"].items())
    assert about["files"]["model.onnx"] == bundle.about["files"]["model.onnx"]
    assert about["classes"] == list(bundle.classes)
    assert about["normal"] == ["NORM"]
    assert about["thresholds"]["values"] == bundle.thresholds
    assert any("Rare or unlisted conditions" in line for line in about["limits"])
    readme = (folder / "README.txt").read_text()
    for words in ("python -m http.server", "NOT A MEDICAL DEVICE", "CC BY 4.0"):
        assert words in readme
    assert folder.stat().st_mode & 0o777 == 0o755


def test_what_was_proven_of_the_graph_goes_with_it(npm, bundle, graph, tmp_path):
    auroc = {"reference": 0.9412, "artefact": 0.9408, "difference": {"value": -0.0004}}
    proof = {"split": "validation", "macro_auroc": auroc, "good": True}
    about = {**bundle.about, "artefacts": {"int8": {"files": ["model.onnx"], "proof": proof}}}
    folder = write_web(replace(bundle, about=about), graph, tmp_path / "page")
    words = "Beside the trained network on the validation split, macro AUROC falls from 0.9412 to 0.9408."
    assert json.loads((folder / "model.json").read_text())["proof"] == words
    about = {**about, "files": {**about["files"], "model.onnx": "of another graph"}}
    write_web(replace(bundle, about=about), graph, folder)
    assert json.loads((folder / "model.json").read_text())["proof"] is None


def test_the_same_model_gives_the_same_folder(npm, bundle, graph, tmp_path):
    one, two = (write_web(bundle, graph, tmp_path / name) for name in ("one", "two"))
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(two)) for path in two.rglob("*") if path.is_file())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_no_page_refers_to_another_host(npm, bundle, graph, tmp_path):
    folder = write_web(bundle, graph, tmp_path / "page")
    for path in [*folder.glob("*.js"), *folder.glob("*.html"), *folder.glob("*.css")]:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "").replace("http://localhost:8000", "")
        assert "//" not in text.replace("// ", "").replace("\n//", ""), path.name
        assert "http" not in text.replace("http.server", "").replace("http-equiv", "").replace(
            "https and localhost", ""
        )


def test_an_older_page_is_replaced_and_nothing_else_is_touched(npm, bundle, graph, tmp_path):
    folder = write_web(bundle, graph, tmp_path / "page")
    (folder / "leftover.txt").write_text("of an older page")
    write_web(bundle, graph, folder)
    assert not (folder / "leftover.txt").exists()
    assert left_behind(tmp_path) == ["page"]


@pytest.mark.parametrize("content", [{"notes.txt": "mine"}, {"model.json": "{}"}, {"model.json": "[]", "a": ""}])
def test_a_folder_that_is_not_ours_is_left_alone(npm, bundle, graph, tmp_path, content):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(EinthovenError, match="holds something else than a page of einthoven"):
        write_web(bundle, graph, folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == content
    assert calls(npm) == []


def test_an_empty_folder_is_filled(npm, bundle, graph, tmp_path):
    (tmp_path / "empty").mkdir()
    assert (write_web(bundle, graph, tmp_path / "empty") / "index.html").is_file()


def test_a_target_that_cannot_be_written_is_said(npm, bundle, graph, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EinthovenError, match="is a file; name a folder"):
        write_web(bundle, graph, tmp_path / "file")
    with pytest.raises(EinthovenError, match="cannot write .*nothing was written"):
        write_web(bundle, graph, tmp_path / "file" / "page")


def test_a_failure_leaves_the_older_page_whole(npm, bundle, graph, tmp_path, monkeypatch):
    folder = write_web(bundle, graph, tmp_path / "page")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(web, "_readme", full)
    with pytest.raises(EinthovenError, match="No space left on device; nothing was half-written"):
        write_web(bundle, graph, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert left_behind(tmp_path) == ["page"]


def test_a_graph_of_another_model_is_refused(npm, bundle, graph, tmp_path):
    fewer = replace(bundle, classes=bundle.classes[:3])
    with pytest.raises(BundleError, match="the graph answers 5 classes, not 3"):
        write_web(fewer, graph, tmp_path / "page")
    other = replace(bundle, spec=SignalSpec(leads=("I", "II")))
    with pytest.raises(BundleError, match="cannot judge the page's sample ECG"):
        write_web(other, graph, tmp_path / "page")
    with pytest.raises(BundleError, match="no such graph"):
        write_web(bundle, tmp_path / "absent.onnx", tmp_path / "page")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="cannot open this graph"):
        write_web(bundle, tmp_path / "broken.onnx", tmp_path / "page")
    assert left_behind(tmp_path) == ["broken.onnx"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"spec": SignalSpec(unit="normalised")}, "eats normalised signals"),
        ({"spec": SignalSpec(leads=("MLII", "V1"))}, "eats MLII"),
        ({"about": {"provenance": {"record_s": 1.0}}}, "judges single beats of 1 s"),
    ],
)
def test_a_model_that_the_page_cannot_serve_is_refused_before_anything_is_fetched(
    npm, bundle, graph, tmp_path, change, says
):
    with pytest.raises(BundleError, match=says):
        write_web(replace(bundle, **change), graph, tmp_path / "page")
    assert calls(npm) == []


def test_a_bundle_without_its_model_card_is_refused(npm, bundle, graph, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copyfile(bundle.path / "novelty.safetensors", bare / "novelty.safetensors")
    with pytest.raises(BundleError, match="the page must show its limits"):
        write_web(replace(bundle, path=bare), graph, tmp_path / "page")
    (bare / "README.md").write_text("# A card\n\n## Use\n")
    with pytest.raises(BundleError, match="no section on limits or decisions"):
        write_web(replace(bundle, path=bare), graph, tmp_path / "page")
