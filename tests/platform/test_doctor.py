from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from millsight.platform import checks
from millsight.platform.doctor import DoctorConfig, doctor


def test_this_machine_passes_and_nothing_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(DoctorConfig(directory=str(tmp_path), json=True)).exit_code == 0
    found = json.loads(capsys.readouterr().out)["this machine"]
    names = {check["name"] for check in found}
    assert {"standard library's platform", "opencv", "embedded weights", "write access"} <= names
    assert all(check["remedy"] for check in found if check["status"] != "ok")
    assert not list(tmp_path.iterdir())


def test_what_fails_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OMP_NUM_THREADS", str(10 * (os.cpu_count() or 1)))
    assert doctor(DoctorConfig(directory=str(tmp_path / "file"))).exit_code == 1
    out = capsys.readouterr().out
    assert "fail  write access" in out
    assert "warn  cores" in out
    assert "-> set OMP_NUM_THREADS" in out


def test_a_check_that_breaks_is_a_failed_check() -> None:
    def _embedded_weights() -> checks.Check:
        raise FileNotFoundError("model.safetensors")

    check = checks._guarded(_embedded_weights)
    assert (check.name, check.status) == ("embedded weights", "fail")


def test_every_node_of_a_cluster(
    tmp_path: Path, ray_session: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(DoctorConfig(cluster="auto", directory=str(tmp_path))).exit_code == 0
    out = capsys.readouterr().out
    assert "clock: 0 s apart" in out
    assert "1 machine:" in out
