from __future__ import annotations

import multiprocessing
import uuid
from dataclasses import replace

import filelock
import pytest

from millsight.platform import storage
from millsight.platform.artifacts import drafting, find_artifact, open_artifact
from millsight.platform.errors import RefusedError, UserError
from millsight.platform.fingerprints import Input, Recipe

RECIPE = Recipe(
    "maps",
    1,
    {"kead": {"k": 4, "prompts": "auto"}, "layers": (3, 6)},
    {"data": Input("f" * 64, "/here")},
    {"encoder": "e" * 64},
)


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def make(path: str, recipe: Recipe = RECIPE) -> None:
    with drafting(path, recipe) as draft:
        storage.write_bytes(draft.file("deep/payload.txt"), b"payload")
        storage.write_bytes(draft.file("shards/1.parquet"), b"bookkeeping")
        draft.commit({"pictures": 3})


def names(url: str) -> list[str]:
    fs, path = storage.filesystem(url)
    return sorted(str(name).removeprefix(path).lstrip("/") for name in fs.find(path))


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, kind="boxes"),
        replace(RECIPE, schema_version=2),
        replace(RECIPE, config={"kead": {"k": 5, "prompts": "auto"}, "layers": (3, 6)}),
        replace(RECIPE, inputs={"data": Input("0" * 64, "/here")}),
        replace(RECIPE, weights={"encoder": "0" * 64}),
    ],
)
def test_whatever_decides_the_content_changes_the_fingerprint(other):
    assert other.fingerprint != RECIPE.fingerprint


def test_order_of_keys_and_place_do_not_change_the_fingerprint():
    config = {"layers": [3, 6], "kead": {"prompts": "auto", "k": 4}}
    moved = replace(RECIPE, config=config, inputs={"data": Input("f" * 64, "/there")})
    assert moved.fingerprint == RECIPE.fingerprint
    assert len(RECIPE.fingerprint) == 64


def test_a_finished_artifact_says_what_it_is(place):
    path = f"{place}/a"
    assert find_artifact(path, RECIPE) is None
    make(path)
    found = find_artifact(path, RECIPE)
    assert found == open_artifact(f"{path}/", kind="maps")
    assert found is not None
    assert found.fingerprint == RECIPE.fingerprint
    assert found.config == {"kead": {"k": 4, "prompts": "auto"}, "layers": [3, 6]}
    assert found.manifest["inputs"] == {"data": {"fingerprint": "f" * 64, "uri": "/here"}}
    assert found.manifest["metrics"] == {"pictures": 3}
    assert found.manifest["versions"]["millsight"]
    assert storage.read_bytes(found.file("deep/payload.txt")) == b"payload"
    assert names(path) == ["artifact.json", "deep/payload.txt"]
    assert not [name for name in names(place) if ".partial" in name or ".tmp" in name]
    with pytest.raises(UserError, match="holds 'maps'; this command needs 'boxes'"):
        open_artifact(path, kind="boxes")


def test_another_recipe_is_refused_with_the_keys_that_differ(place):
    path = f"{place}/a"
    make(path)
    config = {"kead": {"k": 2, "prompts": "auto", "seed": None}, "layers": (3, 6)}
    other = replace(RECIPE, config=config, weights={"encoder": "0" * 64})
    with pytest.raises(RefusedError) as caught:
        find_artifact(path, other)
    assert "differ in config.kead.k, config.kead.seed, weights.encoder." in str(caught.value)
    with pytest.raises(RefusedError, match="differ in schema_version"):
        find_artifact(path, replace(RECIPE, schema_version=2))
    assert find_artifact(path, RECIPE) is not None


def test_a_strangers_directory_is_refused_and_an_empty_one_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    make(str(tmp_path / "mine"))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    with pytest.raises(RefusedError, match="is not a millsight artifact"):
        find_artifact(tmp_path / "theirs", RECIPE)
    (tmp_path / "b.partial").mkdir()
    (tmp_path / "b.partial" / "file").touch()
    with (
        pytest.raises(RefusedError, match="is not an unfinished run"),
        drafting(tmp_path / "b", RECIPE),
    ):
        pass
    with pytest.raises(UserError, match="not a finished artifact"):
        open_artifact(tmp_path / "theirs")


def test_an_unfinished_run_is_gone_on_with_by_the_same_recipe_alone(place):
    path = f"{place}/a"

    def run_into_a_wall(recipe: Recipe) -> None:
        with drafting(path, recipe) as draft:
            storage.write_bytes(draft.file("shards/1"), b"landed")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_into_a_wall(RECIPE)
    assert find_artifact(path, RECIPE) is None
    with pytest.raises(RefusedError, match="unfinished run with fingerprint"):
        run_into_a_wall(replace(RECIPE, schema_version=2))
    with drafting(path, RECIPE) as draft:
        assert storage.read_bytes(draft.file("shards/1")) == b"landed"
        draft.commit()
    assert names(path) == ["artifact.json"]


def test_a_run_that_left_nothing_leaves_no_directory(place):
    def fail() -> None:
        with drafting(f"{place}/a", RECIPE):
            raise UserError("--count -1")

    with pytest.raises(UserError, match="--count"):
        fail()
    fs, path = storage.filesystem(f"{place}/a.partial")
    assert not fs.exists(path)


def test_a_second_writer_is_refused(tmp_path):
    path = str(tmp_path / "a")
    with drafting(path, RECIPE) as draft:
        storage.write_bytes(draft.file("payload"), b"1")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            text = pool.apply(_try_to_draft, (path,))
        assert "is being written by another run" in text
        assert storage.read_bytes(draft.file("payload")) == b"1"
        draft.commit()
    with (
        pytest.raises(RefusedError, match="was just finished by another run"),
        drafting(path, RECIPE),
    ):
        pass


def _try_to_draft(path: str) -> str:
    try:
        with drafting(path, RECIPE):
            return "let in"
    except RefusedError as error:
        return str(error)


def test_a_lock_of_somebody_else_is_not_taken_for_ours(tmp_path):
    def meet_another_lock() -> None:
        with drafting(tmp_path / "a", RECIPE):
            raise filelock.Timeout("some download")

    with pytest.raises(filelock.Timeout):
        meet_another_lock()


def test_a_copy_cut_short_on_an_object_store_is_made_again():
    place = f"memory://{uuid.uuid4().hex}/a"
    storage.write_bytes(f"{place}.partial/fingerprint", RECIPE.fingerprint.encode())
    storage.write_bytes(f"{place}/deep/payload.txt", b"pay")
    assert find_artifact(place, RECIPE) is None
    make(place)
    assert storage.read_bytes(f"{place}/deep/payload.txt") == b"payload"
