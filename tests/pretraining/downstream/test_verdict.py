"""Finetunings with and without synthetic pictures: told apart, or not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow.parquet as pq
import pytest

from millsight.evaluation.results import table as tables
from millsight.evaluation.results.row import PictureResult
from millsight.platform import storage
from millsight.platform.artifacts import Artifact, drafting
from millsight.platform.errors import UserError
from millsight.platform.fingerprints import Recipe
from millsight.pretraining.downstream.judging import CLASSIFICATION
from millsight.pretraining.downstream.seeds import gather
from millsight.pretraining.downstream.table_commands import TableConfig, table
from millsight.pretraining.downstream.verdict.verdicts import find, seed_interval, sentences

PICTURES = 60


def run(folder: Path, arm: str, seed: int, right: float, pictures: int = PICTURES) -> Artifact:
    """A classifier's result table: a share of the pictures is called rightly."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(pictures) >= right
    rows = [
        PictureResult(
            *(f"{i:03}", f"{i}.png", "steel", 64, 64),
            label=("dent", "pit")[i % 2],
            predicted_label=("dent", "pit")[(i + wrong[i]) % 2],
        )
        for i in range(pictures)
    ]
    recipe = Recipe("classification", 1, {"seed": seed, "arm": arm, "right": right}, {})
    with drafting(folder / f"{arm}-{seed}-{right}-{pictures}", recipe) as draft:
        storage.write_table(draft.file(tables.FILE), tables.to_table(rows, "0" * 64))
        learned = {} if arm == "real" else {"synthetic_learned": 9}
        return draft.commit(learned | {"quarantined": 0})


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Much better at 5 shots, no different at 10; a worse arm at 5 alone."""
    folder = tmp_path_factory.mktemp("runs")
    shares = {
        ("real", 5): 0.5,
        ("+ paste", 5): 0.9,
        ("+ noise", 5): 0.2,
        ("real", 10): 0.9,
        ("+ paste", 10): 0.9,
    }
    found = []
    for (arm, shots), right in shares.items():
        runs = [run(folder / str(shots), arm, seed, right) for seed in (0, 1, 2)]
        found += [f"{arm}@{shots}={one.path}" for one in runs]
    return found


def test_an_arm_gets_one_honest_sentence(words, tmp_path, capsys):
    config = TableConfig(trainings=words, name="plates", workspace=str(tmp_path))
    made = table(config).artifact
    said = capsys.readouterr().out
    lines = Path(made.file("verdict.md")).read_text("utf-8").splitlines()
    assert lines[0] == "# plates"
    assert lines[0] in said
    told = {line.split("**")[1]: line for line in lines if line.startswith("- **")}
    assert set(told) == {"+ paste", "+ noise"}
    assert "helps at 5 shots (macro F1 +0." in told["+ paste"]
    assert "; cannot be told from real at 10 shots (" in told["+ paste"]
    assert told["+ noise"].startswith("- **+ noise** hurts at 5 shots (macro F1 -0.")
    assert "- + noise at 5 shots: 9 synthetic pictures learnt" in lines
    assert not any(line.startswith("- real at") for line in lines)
    assert table(config).artifact == made


def test_table_and_figure_hold_the_same_numbers(words, tmp_path):
    made = table(TableConfig(trainings=words, workspace=str(tmp_path))).artifact
    rows = pq.read_table(made.file("verdict.parquet")).to_pylist()
    keyed = {(r["arm"], r["minus"], r["shots"], r["metric"]): r for r in rows}
    assert len(keyed) == len(rows) == (3 + 2 + 2 + 1) * 2
    gap = keyed["+ paste", "real", 5, "macro_f1"]
    pair = [keyed[arm, None, 5, "macro_f1"] for arm in ("+ paste", "real")]
    assert gap["value"] == pytest.approx(pair[0]["value"] - pair[1]["value"])
    assert gap["seeds"] == pytest.approx(np.subtract(pair[0]["seeds"], pair[1]["seeds"]))
    assert (gap["verdict"], gap["n"], gap["data"]) == ("helps", PICTURES, "steel")
    assert gap["seeds_low"] < gap["value"] < gap["seeds_high"]
    assert keyed["+ paste", "real", 10, "macro_f1"]["verdict"] == "cannot be told"
    assert keyed["+ paste", "real", 5, "accuracy"]["verdict"] is None
    figure = ET.fromstring(Path(made.file("verdict.svg")).read_text("utf-8"))  # noqa: S314
    texts = {text.text for text in figure.findall(".//{*}text")}
    assert {"steel: macro F1", "labelled pictures per class", "● + paste"} <= texts


def test_runs_over_seeds_are_opened_and_lone_seeds_left_out(words, tmp_path):
    alone = [run(tmp_path / "r", "+ paste", seed, 0.8) for seed in (0, 1, 5)]
    to = TableConfig(workspace=str(tmp_path))
    runs = dict(zip((0, 1, 5), alone, strict=True))
    together = gather(to, "classification_seeds", runs, CLASSIFICATION).artifact
    given = [*words[:3], f"+ paste@5={together.path}"]
    made = table(TableConfig(trainings=given, workspace=str(tmp_path))).artifact
    text = Path(made.file("verdict.md")).read_text("utf-8")
    assert "over 2 seeds" in text
    assert "- + paste at 5 shots: left out seeds [5], which others lack." in text
    assert "- real at 5 shots: left out seeds [2], which others lack." in text


def row(gaps: list[float], low: float, high: float) -> dict[str, object]:
    value = float(np.mean(gaps))
    found = {"value": value, "low": low, "high": high, "seeds": gaps}
    return {"start": "+ paste", "labelled": 5, "m": found}


@pytest.mark.parametrize(
    ("gaps", "low", "high", "verdict"),
    [
        ([0.10, 0.11, 0.12], 0.05, 0.2, "helps"),
        ([-0.10, -0.11, -0.12], -0.2, -0.05, "hurts"),
        # Other pictures might say otherwise; other draws might; nobody knows of other draws.
        ([0.10, 0.11, 0.12], -0.01, 0.2, "cannot be told"),
        ([0.01, 0.11, 0.21], 0.05, 0.2, "cannot be told"),
        ([0.11], 0.05, 0.2, "cannot be told"),
    ],
)
def test_both_chances_have_to_be_ruled_out(gaps, low, high, verdict):
    found = find(row(gaps, low, high), "m", "score", 0.95)
    assert found.verdict == verdict
    assert ("one seed only" in found.text) == (len(gaps) == 1)


def test_the_interval_over_seeds_is_students():
    # Mean 2, standard deviation 1, three values: 4.303 / sqrt(3).
    assert seed_interval([1.0, 2.0, 3.0], 0.95) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert all(math.isnan(end) for end in seed_interval([1.0], 0.95))


def test_sentences_name_all_shots_of_a_verdict():
    base = find(row([0.10, 0.11, 0.12], 0.05, 0.2), "m", "score", 0.95)
    (said,) = sentences([base, replace(base, shots=10), replace(base, shots=None)], "real")
    assert said.startswith("**+ paste** helps at 5 shots (score +0.110, ")
    assert said.count("), ") == 1
    assert ") and all shots (" in said


def test_what_cannot_be_paired_is_refused(words, tmp_path):
    def refused(*given: str, **more: str) -> str:
        with pytest.raises(UserError) as error:
            table(TableConfig(trainings=list(given), workspace=str(tmp_path), **more))
        return str(error.value)

    assert "ARM@SHOTS=RUN" in refused("real=somewhere")
    assert "ARM@SHOTS=RUN" in refused("real@0=somewhere")
    assert "seed 0 of this arm is there already" in refused(words[0], words[0])
    assert "no seed is shared by real, + paste" in refused(words[0], words[4])
    assert "--reference x: --trainings names real, + paste" in refused(
        words[0], words[3], reference="x"
    )
    fewer = run(tmp_path, "+ paste", 0, 0.8, pictures=PICTURES - 1)
    assert "predicted other pictures" in refused(words[0], f"+ paste@5={fewer.path}")
    with drafting(tmp_path / "other", Recipe("maps", 1, {}, {})) as draft:
        draft.commit()
    assert "hold classification, maps" in refused(words[0], f"a@5={tmp_path / 'other'}")
    with pytest.raises(UserError, match="name the one or the other"):
        table(TableConfig())
