from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"


@pytest.fixture
def ray_job() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CLUSTER / "kuberay-rayjob.yaml").read_text())
    return content


def test_rayjob_is_safe_to_retry_and_closed(ray_job: dict[str, Any]) -> None:
    spec = ray_job["spec"]
    assert (ray_job["kind"], spec["backoffLimit"]) == ("RayJob", 1)
    assert spec["submitterConfig"]["backoffLimit"] == 0
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_rayjob_pods_share_image_user_and_data(ray_job: dict[str, Any]) -> None:
    cluster = ray_job["spec"]["rayClusterSpec"]
    pods = [
        group["template"]["spec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    ]
    for key in ("image", "volumeMounts"):
        assert pods[0]["containers"][0][key] == pods[1]["containers"][0][key]
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)
    assert pods[0]["volumes"] == pods[1]["volumes"]


def test_rayjob_entrypoint_is_one_line(ray_job: dict[str, Any]) -> None:
    words = ray_job["spec"]["entrypoint"].split()
    assert words[:4] == ["python", "-m", "millsight.platform.cli", "extract"]
    assert "\n" not in ray_job["spec"]["entrypoint"].strip()


def run_slurm_script(tmp_path: Path, output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script with stand-ins for Slurm's two commands; `srun` reports success, always."""
    for name, body in {"scontrol": "echo node1", "srun": 'echo "srun $*"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "OUTPUT": str(output),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "4",
    }
    return subprocess.run(
        ["bash", str(CLUSTER / "slurm.sh"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_slurm_script_parses() -> None:
    subprocess.run(["bash", "-n", str(CLUSTER / "slurm.sh")], check=True)


def test_slurm_script_believes_the_artifact_not_the_exit_code(tmp_path: Path) -> None:
    output = tmp_path / "maps"
    unfinished = run_slurm_script(tmp_path, output, "extract", "--data", "steel")
    assert unfinished.returncode == 1
    assert "--address node1:20007 --min-nodes 2" in unfinished.stdout
    output.mkdir()
    (output / "artifact.json").write_text("{}")
    assert run_slurm_script(tmp_path, output, "extract").returncode == 0
    assert run_slurm_script(tmp_path, output).returncode == 2


def test_container_runs_as_nobody_special_and_has_libgl() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["millsight"]
    assert any("libgl1" in line for line in lines)
