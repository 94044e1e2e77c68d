from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import damaged_pictures as damaged
import fsspec
import pyarrow as pa
import pytest

from millsight.platform import storage
from millsight.platform.catalog.catalog import Catalog, load_data, read_folder
from millsight.platform.catalog.commands import (
    ConvertConfig,
    InspectConfig,
    SplitConfig,
    convert,
    inspect,
    split,
)
from millsight.platform.catalog.sample import SCHEMA, Quarantined, Sample
from millsight.platform.errors import RefusedError, UserError


def make_folder(folder: Path, count: int = 12) -> Path:
    for index in range(count):
        path = folder / ("good" if index % 2 else "pit") / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged.encode(damaged.steel(seed=index), "PNG"))
    return folder


def test_damage_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for name, make in (damaged.HEADER_DAMAGE | damaged.BODY_DAMAGE).items():
        (tmp_path / "pit" / name).write_bytes(make())
    seen: list[tuple[int, int]] = []
    catalog = read_folder(tmp_path, progress=lambda done, total: seen.append((done, total)))
    names = {Path(item.uri).name for item in catalog.quarantined}
    assert names == set(damaged.HEADER_DAMAGE)
    assert len(catalog) == 12 + len(damaged.BODY_DAMAGE)
    assert all(item.reason and item.sample_id for item in catalog.quarantined)
    total = len(catalog) + len(catalog.quarantined)
    assert seen[-1] == (total, total)


def test_a_catalog_survives_being_written(tmp_path: Path) -> None:
    samples = (
        Sample("a" * 32, "x/1.png", "plate", boxes=((0.1, 2, 3.7, 4),), box_labels=("pit",)),
        Sample("b" * 32, "x/2.png", "plate", "test", "coil", "good", "x/2_mask.png", width=5),
    )
    catalog = Catalog(samples, (Quarantined("x/3.png", "empty"),), "x", "voc", "seen")
    catalog.write(tmp_path / "one.parquet")
    again = Catalog.read(tmp_path / "one.parquet")
    assert again.fingerprint == catalog.fingerprint
    assert again.samples[1] == samples[1]
    assert again.samples[0].box_labels == ("pit",)
    assert (again.quarantined, again.uri, again.layout) == (catalog.quarantined, "x", "voc")
    again.write(tmp_path / "two.parquet")
    assert Catalog.read(tmp_path / "two.parquet") == again


def test_fingerprint_is_about_content_not_place(tmp_path: Path) -> None:
    here = read_folder(make_folder(tmp_path / "here"), category="plate")
    there = read_folder(make_folder(tmp_path / "there"), category="plate")
    assert here.fingerprint == there.fingerprint
    changes = {"label": "scratch", "split": "val", "mask_id": "c" * 32, "group": "coil"}
    for name, value in changes.items():
        changed = dataclasses.replace(here.samples[0], **{name: value})
        assert here.with_samples((changed, *here.samples[1:])).fingerprint != here.fingerprint
    assert here.where(label="pit").fingerprint != here.fingerprint


def test_links_relative_and_remote_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = make_folder(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "good").symlink_to(real / "good")
    (linked / "pit").mkdir()
    for path in (real / "pit").iterdir():
        (linked / "pit" / path.name).symlink_to(path)
    (linked / "pit" / "loop").symlink_to(linked)
    monkeypatch.chdir(tmp_path)
    catalog = read_folder("linked", category="plate")
    expected = read_folder(real, category="plate")
    assert catalog.quarantined == ()
    assert catalog.fingerprint == expected.fingerprint
    assert all(Path(sample.uri).is_absolute() for sample in catalog)
    memory = fsspec.filesystem("memory")
    for sample in expected:
        memory.pipe_file(sample.uri.replace(str(real), "/plates"), Path(sample.uri).read_bytes())
    remote = read_folder("memory://plates", category="plate")
    assert remote.fingerprint == expected.fingerprint
    remote.write("memory://catalogs/plates.parquet")
    assert load_data("memory://catalogs/plates.parquet").samples == remote.samples


def test_filters(tmp_path: Path) -> None:
    catalog = read_folder(make_folder(tmp_path))
    assert len(catalog.where(label="pit")) == 6
    assert len(catalog.where(defective=False)) == 6
    assert len(catalog.where(split="train")) == 0
    assert len(catalog.where(category=catalog.samples[0].category)) == 12
    assert catalog.summary()["pictures"] == 12


def test_newer_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    metadata = {**SCHEMA.metadata, b"millsight.schema_version": b"99"}
    storage.write_table(path, pa.Table.from_pylist([], SCHEMA.with_metadata(metadata)))
    with pytest.raises(UserError, match="schema version 99"):
        Catalog.read(path)
    storage.write_table(path, pa.table({"a": [1]}))
    with pytest.raises(UserError, match="not a millsight catalog"):
        Catalog.read(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="not a readable Parquet"):
        Catalog.read(path)
    with pytest.raises(UserError, match="no such catalog"):
        load_data(tmp_path / "absent.parquet")


def test_load_data_wants_a_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="no usable picture"):
        load_data(tmp_path)


def test_inspect_names_the_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "plates", 4)
    (folder / "pit" / "copy.png").write_bytes((folder / "good" / "01.png").read_bytes())
    inspect(InspectConfig(data=str(folder), near=False))
    shown = capsys.readouterr().out
    assert "  equal  good/01.png  pit/copy.png\n" in shown
    assert "across splits" not in shown, "there is no split"


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "plates", 40)
    (folder / "pit" / "zero.jpg").write_bytes(b"")
    (folder / "pit" / "half.jpg").write_bytes(damaged.half("JPEG"))
    assert inspect(InspectConfig(data=str(folder))).exit_code == 0
    shown = capsys.readouterr().out
    assert "zero.jpg: empty file (0 bytes)" in shown.replace("\n", "")
    assert "set aside when decoded: 1" in shown

    runs = str(tmp_path / "runs")
    outcome = convert(ConvertConfig(data=str(folder), workspace=runs))
    assert outcome.exit_code == 3
    artifact = outcome.artifact
    assert artifact is not None
    assert artifact.manifest["kind"] == "catalog"
    loaded = load_data(artifact.path)
    assert loaded.fingerprint == read_folder(folder).fingerprint
    assert len(loaded.quarantined) == 1

    divided = split(SplitConfig(data=artifact.path, near=False, workspace=runs)).artifact
    assert divided is not None
    splits = {sample.split for sample in load_data(divided.path)}
    assert splits == {"train", "val", "test"}
    assert json.loads(Path(divided.file("artifact.json")).read_text())["config"]["seed"] == 0
    again = split(SplitConfig(data=artifact.path, near=False, workspace=runs)).artifact
    assert again is not None
    assert again.path == divided.path
    with pytest.raises(RefusedError):
        convert(ConvertConfig(data=str(folder), output=divided.path))
