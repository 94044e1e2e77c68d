from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from millsight.platform import cli


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_lists_every_command_with_its_summary(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in cli._entries():
        assert f"millsight {name.replace('.', ' ')}" in out
    assert "anomaly map" in out


def test_a_group_lists_its_members(capsys):
    code, out, _ = run(capsys, "data")
    assert code == 0
    assert "millsight data inspect" in out
    assert "millsight extract" not in out


@pytest.mark.parametrize("command", ["boxes", "extract", "run", "data inspect"])
def test_help_of_a_command_is_for_its_user(capsys, command):
    code, out, _ = run(capsys, *command.split(), "--help")
    assert code == 0
    assert f"usage: millsight {command}" in out
    for section in ("Raises:", "Returns:", "Args:", "Attributes:", "UserError"):
        assert section not in out


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["exract", "--data", "x"], "millsight extract"),
        (["data", "inspct", "/some/long/path/to/pictures"], "millsight data inspect"),
        (["evalute", "/some/long/path/to/an/artifact"], "millsight evaluate"),
    ],
)
def test_an_unknown_command_gets_the_nearest(capsys, words, nearest):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert f"Did you mean `{nearest}`?" in err
    assert "--data" not in err


def test_a_users_mistake_exits_2_without_traceback(capsys):
    code, out, err = run(capsys, "extract", "--kead.kk", "2")
    assert (code, out) == (2, "")
    assert "--kead.kk: no such setting; did you mean kead.k?" in err
    assert "--data: required" in err
    assert "Traceback" not in err


def test_the_first_required_setting_needs_no_flag(capsys):
    code, _, err = run(capsys, "run", "nothing.yaml")
    assert code == 2
    assert "no such recipe file: nothing.yaml" in err
    code, _, err = run(capsys, "demo", "nothing.yaml")
    assert code == 2
    assert "unexpected 'nothing.yaml'" in err


def test_words_after_two_dashes_arrive_as_they_are(capsys):
    words = ["extract", "--data", "it's a\\b", "c: d", "[1]", "ü"]
    code, out, _ = run(capsys, "submit", "--print_config", "--", *words)
    assert code == 0
    import yaml

    assert yaml.safe_load(out)["command"] == words
    code, _, err = run(capsys, "extract", "--data", "x", "--", "y")
    assert code == 2
    assert "unexpected `--`" in err


def test_pictures_set_aside_exit_3_and_failure_1(capsys, tmp_path):
    import cv2
    import numpy as np

    for number in range(3):
        picture = np.full((64, 64), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    folder, output = str(tmp_path), str(tmp_path.parent / f"{tmp_path.name}-catalog")
    convert = ("data", "convert", folder)
    assert run(capsys, *convert, "--output", output)[0] == 0
    (tmp_path / "empty.png").touch()
    code, out, _ = run(capsys, *convert, "--workspace", f"{output}s")
    assert code == 3
    assert "empty.png" in out


def test_ctrl_c_exits_130_and_keeps_what_landed(tmp_path):
    words = ["generate", "procedural", "--count", "5000", "--output", str(tmp_path / "set")]
    command = [sys.executable, "-m", "millsight.platform.cli", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if list(tmp_path.glob("set.partial/*steel")):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err
    assert list(tmp_path.glob("set.partial/*steel"))


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", "millsight.platform.cli", "--help"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert b"Traceback" not in done.stderr


def write_plainly():
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"0")


def write_with_torch():
    with Path("/dev/full").open("wb") as file:
        torch.save(torch.zeros(100_000), file)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("write", [write_plainly, write_with_torch])
def test_a_full_disk_is_no_bug(capsys, monkeypatch, write):
    monkeypatch.setattr(cli, "_dispatch", lambda words: write())
    code, _, err = run(capsys, "doctor")
    assert code == 2
    assert "a disk is full" in err
    monkeypatch.setattr(cli, "_dispatch", int)
    with pytest.raises(TypeError):
        run(capsys, "doctor")
