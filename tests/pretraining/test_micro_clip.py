from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from millsight.generators.procedural.commands import GenerateConfig
from millsight.generators.procedural.commands import generate as generate_pictures
from millsight.platform.errors import UserError
from millsight.platform.tracking import TrackingConfig, read_runs
from millsight.platform.weights import build_model, load_weights
from millsight.pretraining.micro_clip.commands import PretrainClipConfig, pretrain
from millsight.pretraining.micro_clip.config import MicroClipConfig, NetworkConfig
from millsight.pretraining.micro_clip.dataset import read_captioned, split_holdout
from millsight.pretraining.micro_clip.teacher import Teacher
from millsight.pretraining.micro_clip.train import Training

NETWORK = NetworkConfig(
    image_size=32,
    patch_size=8,
    layers=4,
    width=32,
    head_width=16,
    embed_dim=16,
    text_layers=1,
    text_width=16,
)
SETTINGS = MicroClipConfig(NETWORK, epochs=2, batch_size=16, holdout=0.2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("pictures")
    made = generate_pictures(GenerateConfig(output=str(folder / "set"), count=64, size=64))
    return made.artifact.path


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    tracking = TrackingConfig("disabled", directory=str(folder / "tracking"))
    config = PretrainClipConfig(
        workspace=str(folder), data=pictures, training=SETTINGS, tracking=tracking, threads=1
    )
    return pretrain(config), folder, config


def test_pictures_and_masks_come_in_the_networks_size(pictures):
    data = read_captioned(Path(pictures), size=32, grid=4)
    assert data.pictures.shape == (64, 32, 32)
    assert data.masks.shape == (64, 4, 4)
    assert data.masks.max() <= 100
    for mask, (_, label) in zip(data.masks, data.classes, strict=True):
        assert label != "good" or not mask.any()
    learned, held_out = split_holdout(data, 0.2)
    assert len(learned) + len(held_out) == 64
    assert 4 <= len(held_out) <= 24
    # By content: more pictures do not move one from one side to the other.
    assert split_holdout(held_out, 0.2)[1].captions == held_out.captions


def test_the_teachers_features_do_not_depend_on_the_batch(pictures):
    data = read_captioned(Path(pictures), size=32, grid=4)
    teacher, seen = Teacher(SETTINGS.teacher, 4), []
    together = teacher.all_features(data.pictures[:18], seen.append)
    assert seen == [16, 18]
    assert together.norm(dim=-1).float().mean() == pytest.approx(2**0.5, abs=0.01)
    alone = torch.cat([teacher.features(picture[None]) for picture in data.pictures[:18]])
    torch.testing.assert_close(together, alone, rtol=0, atol=4e-3)


@pytest.mark.slow
def test_every_loss_goes_down(pictures):
    settings = replace(SETTINGS, epochs=8, learning_rate=3e-3)
    data = read_captioned(Path(pictures), size=32, grid=4)
    teacher = Teacher(settings.teacher, 4)
    features = teacher.all_features(data.pictures, lambda done: None)
    assert features.shape == (64, 4, 4, sum(teacher.channels))
    texts = [text for captions in data.captions for text in captions]
    training = Training.start(settings, texts, teacher.channels)
    logged: list[dict[str, float]] = []
    for _ in range(settings.epochs):
        training.run_epoch(data, features, lambda losses, step: logged.append(dict(losses)))
    assert len(logged) == 8 * 4
    for name in ("contrastive", "distillation", "region", "loss"):
        first, last = (sum(row[name] for row in rows) for rows in (logged[:4], logged[-4:]))
        assert last < 0.97 * first, name


def test_going_on_after_an_epoch_equals_a_run_without_a_break(pictures, tmp_path):
    data = read_captioned(Path(pictures), size=32, grid=4)
    teacher = Teacher(SETTINGS.teacher, 4)
    features = teacher.all_features(data.pictures, lambda done: None)
    texts = [text for captions in data.captions for text in captions]

    def start() -> Training:
        return Training.start(SETTINGS, texts, teacher.channels)

    def run(training: Training, epochs: int) -> None:
        for _ in range(epochs):
            training.run_epoch(data, features, lambda losses, step: None)

    whole, before, after = start(), start(), start()
    run(whole, 2)
    run(before, 1)
    before.save(str(tmp_path / "checkpoint.pt"))
    after.restore(tmp_path / "checkpoint.pt")
    assert after.epoch == 1
    run(after, 1)
    wanted, found = whole.model.state_dict(), after.model.state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert any(not torch.equal(wanted[n], before.model.state_dict()[n]) for n in wanted)


def test_words_that_no_caption_uses_say_nothing(trained):
    outcome, _, _ = trained
    weight = load_weights(f"path:{outcome.artifact.path}").state_dict["token_embedding.weight"]
    used = weight.abs().sum(1) > 0
    assert 100 < int(used.sum()) < 1000


def test_the_artifact_loads_as_weights_with_its_card(trained):
    outcome, folder, _ = trained
    loaded = load_weights(f"path:{outcome.artifact.path}")
    assert loaded.library == "open_clip"
    assert loaded.image_size == (32, 32)
    assert (loaded.mean, loaded.std) == ((0.5,) * 3, (0.25,) * 3)
    model = build_model(loaded)
    assert model.encode_image(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    root = Path(outcome.artifact.path)
    assert sorted(path.name for path in root.iterdir()) == [
        "README.md",
        "artifact.json",
        "open_clip_config.json",
        "open_clip_model.safetensors",
    ]
    metrics = outcome.artifact.manifest["metrics"]
    card = (root / "README.md").read_text()
    for name in ("accuracy", "defect_accuracy", "image_auroc", "pixel_auroc"):
        assert f"| {name} | {metrics[name]:.3f} |" in card
        assert 0 <= metrics[name] <= 1
    assert f'"seed": {SETTINGS.seed}' in card
    (record,) = read_runs(folder / "tracking")
    assert record.status == "finished"


def test_a_finished_training_is_not_run_again(trained, capsys):
    outcome, _, config = trained
    assert pretrain(config).artifact == outcome.artifact
    assert "Trained already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(SETTINGS, batch_size=100), r"--training\.batch_size 100"),
        (replace(SETTINGS, holdout=0.0), r"0 pictures to judge by \(--training\.holdout 0\.0\)"),
    ],
)
def test_too_few_pictures_are_refused(pictures, tmp_path, settings, message):
    tracking = TrackingConfig("disabled", directory=str(tmp_path / "tracking"))
    config = PretrainClipConfig(
        workspace=str(tmp_path), data=pictures, training=settings, tracking=tracking, threads=1
    )
    with pytest.raises(UserError, match=message):
        pretrain(config)
    assert not list(tmp_path.glob("*.partial"))
