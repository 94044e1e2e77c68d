from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml

from millsight.platform import recipes
from millsight.platform.artifacts import open_artifact
from millsight.platform.commands import EXIT_FAILED, EXIT_QUARANTINED, Outcome
from millsight.platform.errors import UserError

SET = {"command": "generate procedural", "with": {"count": 12, "size": 64}}


@dataclass
class NoSettings:
    """None."""


def fail(config: NoSettings) -> Outcome:
    print("called")
    return Outcome(EXIT_FAILED)


def set_aside(config: NoSettings) -> Outcome:
    print("called")
    return Outcome(EXIT_QUARANTINED)


def write(path: Path, steps: object, **more: object) -> str:
    path.write_text(yaml.safe_dump({"name": "small", "steps": steps, **more}, sort_keys=False))
    return str(path)


def chain(folder: Path) -> str:
    convert = {"command": "data convert", "with": {"data": "${pictures}"}}
    split = {
        "command": "data split",
        "with": {"data": "${catalog}", "train": 0.5, "val": 0.0, "test": 0.5, "near": False},
    }
    steps = {"pictures": SET, "catalog": convert, "divided": split}
    return write(folder / "small.yaml", steps)


def test_steps_are_joined_and_finished_ones_skipped(tmp_path, capsys):
    config = recipes.RunConfig(chain(tmp_path), workspace=str(tmp_path / "runs"))
    outcome = recipes.run(config)
    assert outcome.exit_code == 0
    assert outcome.artifact is not None
    # The catalog of a catalog names the pictures' folder: one hop back is the rendered set.
    source = open_artifact(outcome.artifact.manifest["inputs"]["data"]["uri"])
    assert source.manifest["kind"] == "procedural"
    assert source.manifest["metrics"]["pictures"] == 12
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.*")}
    capsys.readouterr()
    again = recipes.run(config)
    assert again.artifact == outcome.artifact
    assert "Rendered already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.*")} == files


def test_overrides_reach_their_step_and_workspace_wins(tmp_path):
    source = chain(tmp_path)
    changes = ["pictures.count=6", "catalog.category=12", "pictures.workspace=elsewhere"]
    pipeline = recipes.read_recipe(source, changes, "w")
    pictures, catalog, _ = pipeline.steps
    assert pictures.settings == {**SET["with"], "count": 6, "workspace": "w"}
    assert catalog.settings["category"] == "12"


def test_the_recipe_groups_its_runs_and_keeps_them_together(tmp_path):
    source = write(tmp_path / "a.yaml", {"m": {"command": "extract", "with": {"data": "x"}}})
    (step,) = recipes.read_recipe(source, workspace="w").steps
    assert step.settings["tracking.group"] == "small"
    assert step.settings["tracking.directory"] == "w/tracking"


def test_every_step_is_checked_before_the_first_runs(tmp_path):
    steps = {
        "pictures": {**SET, "wiht": {}},
        "maps": {"command": "extract", "with": {"data": "${late}", "kead": {"lyers": 2}}},
        "late": {"command": "extrct", "with": {"data": "${pictures}"}},
        "bad": {"command": "extract", "with": {"data": "x", "kead": {"k": -1}}},
        "flat": {"command": "boxes", "with": ["maps"]},
        "words": "evaluate",
    }
    source = write(tmp_path / "wrong.yaml", steps, stpes={})
    with pytest.raises(UserError) as caught:
        recipes.run(recipes.RunConfig(source, ["zz.k=1"], str(tmp_path / "runs")))
    message = str(caught.value)
    for part in (
        f"{source}.stpes: no such key; did you mean steps?",
        "steps.pictures.wiht: no such key; did you mean with?",
        "steps.maps.with.data: ${late} is no earlier step (['pictures'])",
        "steps.maps.with.kead.lyers: no such setting; did you mean kead.layers?",
        "steps.late.command: no such command: 'extrct'. Did you mean `millsight extract`?",
        "steps.bad.with.k: -1 is negative",
        "steps.flat.with.with: no such setting",
        "steps.flat.with.maps: required",
        "steps.words: must hold command, with",
        "--set zz.k=1: must be STEP.KEY=VALUE",
    ):
        assert part in message
    assert not (tmp_path / "runs").exists()


def test_a_failing_step_ends_the_recipe(tmp_path, monkeypatch, capsys):
    def run(name: str) -> int:
        entry = EntryPoint("check", f"{__name__}:{name}", "millsight.commands")
        monkeypatch.setattr(recipes.cli, "_entries", lambda: {"check": entry})
        steps = {"first": {"command": "check"}, "second": {"command": "check"}}
        source = write(tmp_path / "a.yaml", steps)
        return recipes.run(recipes.RunConfig(source)).exit_code

    assert run("fail") == 1
    assert capsys.readouterr().out.count("called") == 1
    assert run("set_aside") == 3
    assert capsys.readouterr().out.count("called") == 2


def test_a_matrix_repeats_steps_and_items_of_lists(tmp_path):
    steps = {
        "pictures-${seed}": {"command": "generate procedural", "with": {"seed": "${seed}"}},
        "maps-${seed}-${k}": {
            "command": "extract",
            "with": {"data": "${pictures-${seed}}", "kead": {"k": "${k}"}, "category": "c${k}"},
        },
        "backbone-${k}": {
            "command": "pretrain backbone",
            "with": {"maps": ["${maps-${seed}-${k}}", "other"], "training": {"epochs": 3}},
        },
    }
    matrix = {"seed": [7, 8], "k": [0, 4]}
    found = recipes.read_recipe(
        write(tmp_path / "a.yaml", steps, matrix=matrix), ["maps-7-4.split=test"]
    )
    by_name = {step.name: step for step in found.steps}
    assert list(by_name) == [
        *("pictures-7", "pictures-8"),
        *("maps-7-0", "maps-7-4", "maps-8-0", "maps-8-4"),
        *("backbone-0", "backbone-4"),
    ]
    assert by_name["pictures-8"].settings["seed"] == 8
    settings = {"data": "${pictures-7}", "kead.k": 4, "category": "c4", "split": "test"}
    assert settings.items() <= by_name["maps-7-4"].settings.items()
    assert by_name["backbone-4"].settings["maps"] == ["${maps-7-4}", "${maps-8-4}", "other"]


def test_words_of_an_axis_name_steps_and_stay_as_they_are_in_settings(tmp_path):
    steps = {
        "set-${label}-${seed}": {
            "command": "generate procedural",
            "with": {"count": 8, "seed": "${seed}"},
        },
        "all-${seed}": {
            "command": "experiment table",
            "with": {"trainings": ["${label}@5=${set-${label}-${seed}}/set"]},
        },
    }
    matrix = {"label": ["red iron", "rolled-in_scale"], "seed": [1]}
    pipeline = recipes.read_recipe(write(tmp_path / "a.yaml", steps, matrix=matrix))
    names = [step.name for step in pipeline.steps]
    assert names == ["set-red-iron-1", "set-rolled-in_scale-1", "all-1"]
    assert pipeline.steps[0].settings["seed"] == 1
    assert pipeline.steps[-1].settings["trainings"] == [
        "red iron@5=${set-red-iron-1}/set",
        "rolled-in_scale@5=${set-rolled-in_scale-1}/set",
    ]


def test_what_does_not_go_together_is_left_out_of_steps_and_lists(tmp_path):
    steps = {
        "set-${seed}-${size}": {
            "command": "generate procedural",
            "with": {"seed": "${seed}", "size": "${size}"},
        },
        "all": {
            "command": "experiment table",
            "with": {"experiments": ["${set-${seed}-${size}}"]},
        },
    }
    matrix = {"seed": [1, 2], "size": [64, 96]}
    exclude = [{"seed": 2, "size": 96}]
    file = write(tmp_path / "a.yaml", steps, matrix=matrix, exclude=exclude)
    *sets, last = recipes.read_recipe(file).steps
    assert [step.name for step in sets] == ["set-1-64", "set-1-96", "set-2-64"]
    assert last.settings["experiments"] == ["${set-1-64}", "${set-1-96}", "${set-2-64}"]
    for wrong, said in (
        ({"seed": 1}, "a.yaml.exclude: must be a list"),
        ([{}], "a.yaml.exclude: must be a list"),
        ([{"seed": 3}], r"a.yaml.exclude.0.seed: 3 is no value"),
        ([{"sead": 1}], r"a.yaml.exclude.0.sead: 1 is no value"),
    ):
        with pytest.raises(UserError, match=said):
            recipes.read_recipe(write(tmp_path / "a.yaml", steps, matrix=matrix, exclude=wrong))


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([], "a.yaml.matrix: must map names"),
        ({"k": 4}, "a.yaml.matrix.k: must be a list"),
        ({"k": []}, "a.yaml.matrix.k: must be a list"),
        ({"k": [1, 1]}, "a.yaml.matrix.k: must be a list"),
        ({"k": [{}]}, "a.yaml.matrix.k: must be a list"),
        ({"pictures": [1]}, "a.yaml.matrix.pictures: a step has this name"),
    ],
)
def test_a_matrix_that_repeats_nothing_is_refused(tmp_path, matrix, said):
    with pytest.raises(UserError, match=said):
        recipes.read_recipe(write(tmp_path / "a.yaml", {"pictures": SET}, matrix=matrix))


def test_an_unknown_recipe_gets_the_known_ones(tmp_path):
    with pytest.raises(UserError, match=r"no recipe called 'quickstrt'.*'quickstart'"):
        recipes.read_recipe("quickstrt")
    with pytest.raises(UserError, match="needs `steps`"):
        recipes.read_recipe(write(tmp_path / "none.yaml", {}))


def test_packaged_recipes_are_sound():
    for file in recipes.PACKAGED.glob("*.yaml"):
        assert recipes.read_recipe(file.stem).steps
    assert recipes.read_recipe("quickstart").name == "quickstart"
