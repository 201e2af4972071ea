"""What lies in deploy/ is well-formed, pinned, and names commands that exist."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def pinned(package):
    return re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]


def test_versions_are_those_of_the_constraints():
    job = list(yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text()))[1]
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned("ray")
    text = (DEPLOY / "Containerfile").read_text()
    assert f"torch=={pinned('torch').split('+')[0]}" in text
    assert all("-c constraints.txt" in line for line in text.splitlines() if "pip install" in line)


def test_pods_mount_what_the_command_names():
    claim, job = yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text())
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    spec = job["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/data"
    assert spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "8"
    assert job["spec"]["entrypoint"].endswith("--ray auto")


def test_the_cloud_cluster_names_its_node_types():
    cluster = yaml.safe_load((DEPLOY / "ray-aws.yaml").read_text())
    assert cluster["head_node_type"] in cluster["available_node_types"]
    assert any("--head" in command for command in cluster["head_start_ray_commands"])


def test_the_batch_script_is_shell():
    done = subprocess.run(["bash", "-n", DEPLOY / "slurm.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["Containerfile", "kuberay.yaml", "ray-aws.yaml", "slurm.sh"])
def test_no_statistics_leave_the_nodes(name):
    assert "RAY_USAGE_STATS_ENABLED" in (DEPLOY / name).read_text()
