"""`millsight generate compare` on good sets, copies and nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_defects import LEVELS, SPLITS, drawn, make, write_catalog
from PIL import Image

from millsight.generators.comparison.compare import REAL
from millsight.generators.export.export import export
from millsight.platform.cli import main
from millsight.platform.tracking import read_runs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real pictures, a set of new defects of both classes, and one of copies of real ones."""
    folder = tmp_path_factory.mktemp("compared")
    write_catalog(folder / "real").write(folder / "real.parquet")
    new = [make(number, label) for label in LEVELS for number in range(6)]
    export(new, str(folder / "new"), "folder", tuple(LEVELS))
    copies = []
    for number in range(6):
        picture, mask = drawn(number, "pit")
        copies.append(make(number, "pit", picture=picture, mask=mask))
    export(copies, str(folder / "copies"), "folder", ("pit",))
    (folder / "none").mkdir()
    return folder


def compare(place: Path, output: Path, *sets: str) -> int:
    words = [word for entry in sets for word in ("--sets+", entry)]
    tracking = ["--tracking.wandb", "disabled", "--tracking.directory", str(output / "../tracking")]
    real = ["--data", str(place / "real.parquet"), "--network", "random:timm:test_resnet?seed=0"]
    return main(["generate", "compare", *real, *words, *tracking, "--output", str(output)])


def test_copies_are_told_from_new_pictures(place, tmp_path, capsys):
    output = tmp_path / "out"
    sets = [f"{name}={place / name}" for name in ("new", "copies", "none")]
    assert compare(place, output, *sets) == 0
    said = capsys.readouterr().out
    assert f"--sets {place / 'none'}: holds no picture" in said
    content = json.loads((output / "comparison.json").read_text())
    rows = {(row["label"], row["set"]): row for row in content["rows"]}
    counts = {key: row["n_generated"] for key, row in rows.items()}
    learned = SPLITS.count("train")
    assert counts == {
        **{(label, REAL): learned for label in LEVELS},
        **{(label, "new"): 6 for label in LEVELS},
        ("pit", "copies"): 6,
        ("scratch", "copies"): 0,
        **{(label, "none"): 0 for label in LEVELS},
    }
    held_out = len(SPLITS) - learned
    assert {row["n_real"] for row in rows.values()} == {held_out}
    assert rows["pit", "copies"]["memorisation"]["closer_than_all_real"] == 1
    assert rows["pit", "copies"]["memorisation"]["generated_to_real"]["0.95"] < 1e-6
    assert rows["pit", "new"]["memorisation"]["generated_to_real"]["0"] > 1e-5
    assert rows["pit", "new"]["kid"] is not None
    assert "kid" not in rows["scratch", "none"]
    assert "| pit | copies | 6 |" in said
    assert said.splitlines()[-1] == str(output)

    # Of two classes three real and synthetic groups, and of each set what is nearest.
    names = sorted(path.name for path in output.glob("*.jpg"))
    assert names == [
        *(f"00-pit-{kind}.jpg" for kind in ("nearest-0", "nearest-1", "pictures")),
        *(f"01-scratch-{kind}.jpg" for kind in ("nearest-0", "pictures")),
    ]
    with Image.open(output / "00-pit-nearest-1.jpg") as sheet:
        tile = np.asarray(sheet.convert("L"), np.float32)[20:180, 6:326]
    assert np.abs(tile[:, :160] - tile[:, 160:]).mean() < 3
    (run,) = read_runs(str(tmp_path / "tracking"))
    assert set(run.tables) == {"synthetic_comparison"}
    assert sorted(run.pictures["sheets"]) == names


def test_a_comparison_is_made_once(place, tmp_path, capsys):
    output = tmp_path / "out"
    assert compare(place, output, f"copies={place / 'copies'}") == 0
    before = (output / "comparison.json").stat().st_mtime_ns
    assert compare(place, output, f"copies={place / 'copies'}") == 0
    assert (output / "comparison.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["{new}"], "NAME=SET, for example"),
        (["a={none}"], "--sets: there is no picture of a defect"),
        (["a={real}"], "is not marked as synthetic"),
    ],
)
def test_what_cannot_be_compared_is_refused(place, tmp_path, capsys, sets, message):
    places = {"new": place / "new", "none": place / "none", "real": place / "real.parquet"}
    assert compare(place, tmp_path / "out", *(one.format(**places) for one in sets)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
