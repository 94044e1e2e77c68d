from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from millsight.evaluation.results import table as tables
from millsight.evaluation.results.masks import add_masks
from millsight.evaluation.results.scores import add_scores
from millsight.evaluation.results.truth import from_samples
from millsight.generators.procedural.commands import GenerateConfig, generate
from millsight.platform.catalog.catalog import Catalog, load_data
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.executors.training import Training, TrainingExecutionConfig
from millsight.platform.tracking import TrackingConfig, read_runs
from millsight.platform.weights import load_weights
from millsight.pretraining.downstream.multitask import gradients, losses
from millsight.pretraining.downstream.multitask.commands import FinetuneMultitaskConfig, multitask
from millsight.pretraining.downstream.multitask.config import MultitaskConfig
from millsight.pretraining.downstream.multitask.data import (
    MaskedPictures,
    MultitaskData,
    TrainingPictures,
    read_pictures,
    read_truth,
)
from millsight.pretraining.downstream.multitask.encoder import load_encoder
from millsight.pretraining.downstream.multitask.export import export_model
from millsight.pretraining.downstream.multitask.losses import Batch
from millsight.pretraining.downstream.multitask.model import (
    MultitaskModel,
    MultitaskOutput,
    SampleGate,
    read_model,
    save_model,
    start_model,
)
from millsight.pretraining.downstream.multitask.module import CLIP_NORM, MultitaskModule, rate
from millsight.pretraining.downstream.multitask.predict import Prediction, predict
from millsight.pretraining.downstream.multitask.threshold import choose_thresholds
from millsight.pretraining.training import Hardware, fit

SETTINGS = MultitaskConfig(
    encoder="random:timm:test_efficientnet?seed=0",
    image_size=64,
    decoder_channels=[32, 16, 16, 8, 8],
    epochs=2,
    batch_size=4,
    learning_rate=3e-3,
    gradient_pictures=4,
    holdout=0.4,
)
CPU = Hardware("cpu", progress_bar=False)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    folder = tmp_path_factory.mktemp("pictures")
    made = generate(GenerateConfig(output=str(folder / "set"), count=32, size=64))
    found = load_data(made.artifact.path)
    # Every third defective and every third good picture goes to each split.
    ordered = sorted(found.samples, key=lambda sample: sample.defective)
    splits = {sample.id: ("train", "val", "test")[i % 3] for i, sample in enumerate(ordered)}
    return found.with_samples(replace(s, split=splits[s.id]) for s in found.samples)


@pytest.fixture(scope="module")
def eight(catalog) -> MaskedPictures:
    """Five with the largest defects, then three good ones."""
    pictures, broken = read_pictures(catalog.samples, (64, 64), lambda done, total: None)
    assert (len(pictures), broken) == (32, ())
    by_area = np.argsort(-pictures.areas, kind="stable")
    return pictures.take(np.concatenate((by_area[:5], by_area[-3:])))


def a_model(mode="gated", **changes) -> MultitaskModel:
    settings = replace(SETTINGS, mode=mode, **changes)
    return start_model(settings, load_weights(settings.encoder))[0]


def train(settings, pictures, checkpoint, callbacks=()) -> MultitaskModel:
    model, _ = start_model(settings, load_weights(settings.encoder))
    data = MultitaskData(pictures, pictures, settings)
    options = {"max_epochs": settings.epochs, "gradient_clip_val": CLIP_NORM}
    training = Training(MultitaskModule(model, settings), data, tuple(callbacks), options)
    fit(training, str(checkpoint), CPU)
    return model


# Losses and gate, by hand.


def test_losses_by_hand():
    logits = torch.zeros(2, 1, 1, 2)
    logits[0] = torch.tensor([math.log(3), -math.log(3)])
    masks = torch.zeros(2, 1, 1, 2)
    masks[0, 0, 0, 0] = 1
    both, first = torch.ones(2), torch.tensor([1.0, 0.0])
    # Picture 0: -log 0.75 for each pixel. Picture 1: -log 0.5 for each.
    a, b = -math.log(0.75), -math.log(0.5)
    assert losses.mask_bce(logits, masks, both).item() == pytest.approx((a + b) / 2)
    assert losses.mask_bce(logits, masks, first).item() == pytest.approx(a)
    # |PG| = 0.75; |P| = 0.75 + 0.25 (+ 0.5 + 0.5); |G| = 1.
    assert losses.mask_dice(logits, masks, both).item() == pytest.approx(1 - 2.5 / 4)
    assert losses.mask_dice(logits, masks, first).item() == pytest.approx(1 - 2.5 / 3)
    sample_logits, targets = torch.tensor([math.log(3), 0.0]), torch.tensor([1.0, 0.0])
    assert losses.sample_bce(sample_logits, targets, both).item() == pytest.approx((a + b) / 2)
    assert losses.sample_bce(sample_logits, targets, first).item() == pytest.approx(a)
    batch = Batch(torch.zeros(2, 3, 1, 2), masks, first, targets, both)
    joint = losses.multitask_losses(MultitaskOutput(logits, sample_logits), batch, 0.5)
    assert joint["pixel"].item() == pytest.approx(a + 1 - 2.5 / 3)
    assert joint["loss"].item() == pytest.approx(a + 1 - 2.5 / 3 + 0.5 * (a + b) / 2)
    alone = losses.multitask_losses(MultitaskOutput(logits, None), batch, 0.5)
    assert "sample" not in alone
    assert alone["loss"].item() == pytest.approx(a + 1 - 2.5 / 3)


def test_what_is_unknown_has_no_part_in_the_gradient():
    logits = torch.randn(3, 1, 4, 4, requires_grad=True)
    samples = torch.randn(3, requires_grad=True)
    batch = Batch(
        torch.zeros(3, 3, 4, 4),
        torch.rand(3, 1, 4, 4),
        torch.tensor([1.0, 0.0, 0.0]),
        torch.ones(3),
        torch.tensor([0.0, 1.0, 0.0]),
    )
    losses.multitask_losses(MultitaskOutput(logits, samples), batch, 1.0)["loss"].backward()
    assert logits.grad.abs().sum((1, 2, 3)).gt(0).tolist() == [True, False, False]
    assert samples.grad.abs().gt(0).tolist() == [False, True, False]
    none = batch._replace(mask_known=torch.zeros(3), target_known=torch.zeros(3))
    total = losses.multitask_losses(MultitaskOutput(logits, samples), none, 1.0)["loss"]
    assert total.item() == 0


def test_the_gate_by_hand():
    gate = SampleGate(2, 3)
    features, embedding = torch.ones(1, 3, 2, 2), torch.tensor([[1.0, 2.0]])
    assert torch.equal(gate(features, embedding), features)
    with torch.no_grad():
        gate.linear.weight[1] = torch.tensor([1.0, 1.0])
        gate.linear.bias[2] = -math.log(3)
    out = gate(features, embedding)
    # 2 sigmoid(0), 2 sigmoid(3), 2 sigmoid(-log 3) = 2 / 4.
    wanted = [1.0, 2 / (1 + math.exp(-3)), 0.5]
    assert out[0, :, 0, 0].tolist() == pytest.approx(wanted)
    assert torch.equal(out[..., 0, 0], out[..., 1, 1])


# The three modes.


def test_modes_differ_as_they_should():
    pixel, joint, gated = (a_model(mode).eval() for mode in ("pixel", "joint", "gated"))
    assert pixel.classify is None
    assert pixel.gate is None
    assert joint.classify is not None
    assert joint.gate is None
    shared = pixel.state_dict()
    for other in (joint, gated):
        assert all(torch.equal(shared[name], other.state_dict()[name]) for name in shared)
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        first = {name: m(pictures) for name, m in zip("pjg", (pixel, joint, gated), strict=True)}
        assert torch.equal(first["j"].mask_logits, first["g"].mask_logits)
        assert first["p"].sample_logits is None
        assert torch.allclose(
            first["p"].scores(), first["p"].mask_logits.flatten(1).max(1).values.sigmoid()
        )
        assert torch.equal(first["j"].scores(), first["j"].sample_logits.sigmoid())
        # A closed gate leaves the masks nothing but the last layer's bias.
        gated.gate.linear.bias.fill_(-100)
        closed = gated(pictures).mask_logits
    assert closed.std() < 1e-6
    assert first["g"].mask_logits.std() > 1e-3


def test_the_samples_loss_reaches_masks_only_through_encoder_and_gate(eight):
    batch = eight.batch(range(8))
    for mode, reached in (("joint", False), ("gated", True)):
        model = a_model(mode)
        if model.gate is not None:
            torch.nn.init.normal_(model.gate.linear.weight)
        losses.multitask_losses(model(batch.pictures), batch, 1.0)["pixel"].backward()
        touched = model.embed[0].weight.grad
        assert (touched is not None and bool(touched.abs().sum() > 0)) is reached


# Weights.


def test_pretrained_weights_fill_the_whole_encoder():
    settings = replace(SETTINGS, encoder="embedded:efficientnet-lite0")
    loaded = load_weights(settings.encoder)
    model, account = start_model(settings, loaded)
    assert len(account.loaded) == len(model.encoder.state_dict()) == 288
    assert {name.split(".")[0] for name in account.skipped} == {"conv_head", "bn2", "classifier"}
    own = model.encoder.state_dict()
    assert all(torch.equal(own[name], loaded.state_dict[name]) for name in account.loaded)
    assert "288 tensors loaded, 8 skipped" in str(account)
    partial = {k: v for k, v in loaded.state_dict.items() if not k.startswith("blocks.0")}
    with pytest.raises(UserError, match="the weights lack"):
        load_encoder(model.encoder, partial)
    resized = {**loaded.state_dict, "conv_stem.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"conv_stem\.weight \(1,\)"):
        load_encoder(model.encoder, resized)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("embedded:micro-clip", "is an open_clip model"),
        ("random:timm:test_vit?seed=0", "no U-Net can be built|the weights lack"),
    ],
)
def test_unfit_encoders_are_refused(encoder, message):
    with pytest.raises(UserError, match=message):
        start_model(replace(SETTINGS, encoder=encoder), load_weights(encoder))


# Data.


def test_what_is_known_about_a_picture(tmp_path):
    empty, drawn = tmp_path / "empty.png", tmp_path / "drawn.png"
    cv2.imwrite(str(empty), np.zeros((4, 6), np.uint8))
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2] = 255
    cv2.imwrite(str(drawn), mask)

    def truth(label, path):
        uri = None if path is None else str(path)
        found = read_truth(Sample("id", "a.png", "c", label=label, mask_uri=uri), (6, 4))
        return None if found.mask is None else int(found.mask.sum()), found.defective

    assert truth("good", None) == (0, False)
    assert truth("scratch", drawn) == (1, True)
    assert truth("scratch", empty) == (None, True)
    assert truth("scratch", None) == (None, True)
    assert truth(None, None) == (None, None)
    assert truth(None, drawn) == (1, True)
    assert truth(None, empty) == (0, False)


def test_pictures_and_masks_stay_aligned_and_damage_is_set_aside(eight, tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    torn = Sample("t", str(tmp_path / "torn.png"), "c", label="good")
    unknown = replace(eight.samples[0], label=None, mask_uri=None)
    read, broken = read_pictures([torn, unknown], (64, 64), lambda done, total: None)
    assert [item.uri for item in broken] == [torn.uri]
    assert (len(read), len(read.known())) == (1, 0)
    # The mask as the picture's red channel: any flip must keep them equal up to colour jitter.
    copied = replace(eight, pictures=eight.masks.expand(-1, 3, -1, -1).contiguous())
    data = TrainingPictures(copied, seed=0)
    flipped = 0
    for epoch in range(20):
        item = data[epoch, 0]
        assert torch.equal(item.pictures[0] > item.pictures[0].min(), item.masks[0] > 0)
        assert torch.equal(item.masks, data[epoch, 0].masks)
        flipped += not torch.equal(item.masks * 255, eight.masks[0].float())
    assert 8 < flipped < 20
    assert np.isfinite(eight.areas).all()
    assert (eight.areas > 0).sum() == 5


# Training.


def test_it_overfits_eight_pictures(eight, tmp_path):
    settings = replace(SETTINGS, epochs=27, batch_size=8, learning_rate=6e-3, encoder_rate=1.0)
    four_times = eight.take(np.tile(np.arange(8), 4))
    model = train(settings, four_times, tmp_path / "checkpoint.pt")
    found = list(predict(model, eight, 4))
    thresholds = choose_thresholds(found)
    assert thresholds.sample_f1 == 1
    assert min(item.score for item in found[:5]) > max(item.score for item in found[5:])
    # Measured: 0.07 before, 0.26 after 80 steps.
    untrained = choose_thresholds(predict(a_model(), eight, 4))
    assert thresholds.mean_iou > 2 * untrained.mean_iou


def test_an_epoch_draws_as_many_good_as_defective_pictures(eight):
    settings = replace(SETTINGS, batch_size=1)
    loader = MultitaskData(eight, eight, settings).train_dataloader()
    seen = []
    for epoch in range(4):
        loader.sampler.set_epoch(epoch)
        keys = list(loader.sampler)
        assert {key[0] for key in keys} == {epoch}
        seen.append([key[1] for key in keys])
        # Five defective, three good: all good ones and three of the others, each once.
        assert sorted(eight.targets[seen[-1]]) == [False] * 3 + [True] * 3
        assert len(set(seen[-1])) == 6
    assert {index for epoch in seen for index in epoch} == set(range(8))
    assert list(loader.sampler) == [(3, index) for index in seen[3]]
    everything = replace(settings, balanced=False)
    assert len(MultitaskData(eight, eight, everything).train_dataloader()) == 8


def test_the_encoder_keeps_its_batch_statistics_and_learns_more_slowly(eight, tmp_path):
    before = a_model().state_dict()
    after = train(replace(SETTINGS, encoder_rate=0.0), eight, tmp_path / "a.pt").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("unet.encoder.") for name in changed)
    assert any("decoder" in name and "running_mean" in name for name in changed)
    after = train(replace(SETTINGS, encoder_rate=0.5), eight, tmp_path / "b.pt").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    encoder = {name for name in changed if name.startswith("unet.encoder.")}
    assert encoder
    assert not any("running" in name or "tracked" in name for name in encoder)


class KillInSecondEpoch(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise KilledError


class KilledError(Exception):
    pass


@pytest.mark.parametrize("mode", ["pixel", "gated"])
def test_a_killed_and_resumed_run_ends_with_the_very_same_weights(eight, tmp_path, mode):
    settings = replace(SETTINGS, mode=mode, epochs=3)
    whole = train(settings, eight, tmp_path / "whole.pt")
    rows: list[tuple[dict, int]] = []

    def probe() -> gradients.GradientLog:
        return gradients.GradientLog(eight.take(np.arange(2)), 1.0, lambda *row: rows.append(row))

    with pytest.raises(KilledError):
        train(settings, eight, tmp_path / "cut.pt", [probe(), KillInSecondEpoch()])
    resumed_probe = probe()
    resumed = train(settings, eight, tmp_path / "cut.pt", [resumed_probe])
    wanted, got = whole.state_dict(), resumed.state_dict()
    assert [name for name in wanted if not torch.equal(wanted[name], got[name])] == []
    assert [row.epoch for row in resumed_probe.rows] == [1, 1, 2, 2, 3, 3]
    assert len(rows) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.pt", "whole.pt"]
    other = train(replace(settings, seed=1), eight, tmp_path / "other.pt").state_dict()
    assert any(not torch.equal(wanted[name], other[name]) for name in wanted)


class PressCtrlC(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        raise KeyboardInterrupt


def test_ctrl_c_stops_as_everywhere_else(eight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, eight, tmp_path / "checkpoint.pt", [PressCtrlC()])


def test_the_learning_rate_warms_up_and_decays():
    rates = [rate(step, 100) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5] == 1
    assert rates[99] < 0.001
    assert rate(0, 1) == 1


# Gradients.


def test_gradients_by_area(eight):
    areas = [0.0, 0.0005, 0.001, 0.0011, 0.05, 1.0]
    names = [gradients.BINS[i] for i in (0, 1, 1, 2, 3, 4)]
    assert [gradients.area_bin(area) for area in areas] == names
    model = a_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    rows = gradients.measure(model, eight, 2.0, epoch=7)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    # The same by ordinary backward passes; lambda scales the sample's part.
    batch = eight.batch([0])
    model.eval()
    found = losses.multitask_losses(model(batch.pictures), batch, 1.0)
    found["sample"].backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.encoder.parameters()))
    assert rows[0].sample == pytest.approx(2 * norm, rel=1e-4)
    assert rows[0].pixel > 0
    assert -1 <= rows[0].cosine <= 1
    means = gradients.means_by_area(rows)
    assert means["gradient/sample/good"] == pytest.approx(np.mean([r.sample for r in rows[5:]]))
    assert len(gradients.to_table(rows)) == 8
    alone = gradients.measure(a_model("pixel"), eight.take(np.arange(1)), 2.0, epoch=0)
    assert alone[0].sample == 0
    assert math.isnan(alone[0].cosine)


# Thresholds.


def test_thresholds_by_hand(tmp_path):
    mask = np.zeros((2, 2), np.uint8)
    mask[0] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    bad = Sample("b", "b.png", "c", label="dent", mask_uri=str(tmp_path / "m.png"))
    good = Sample("g", "g.png", "c", label="good")
    nobody = Sample("u", "u.png", "c")
    found = [
        Prediction(bad, 0.75, np.array([[0.62, 0.42], [0.33, 0.0]], np.float32)),
        Prediction(good, 0.25, np.zeros((2, 2), np.float32)),
        Prediction(nobody, 0.9, np.ones((2, 2), np.float32)),
    ]
    chosen = choose_thresholds(found)
    assert (chosen.sample, chosen.sample_f1) == (0.75, 1)
    # Candidates lie 0.25 apart in log odds; at 0.378 the mask is exact first.
    assert chosen.pixel == pytest.approx(1 / (1 + math.exp(0.5)))
    assert chosen.mean_iou == 1
    with pytest.raises(UserError, match="of 1 labelled ones 1 are defective"):
        choose_thresholds(found[:1])


# Export and command.


@pytest.mark.parametrize("name", ["torch_export", "onnx"])
def test_exported_files_compute_the_same(name, tmp_path, eight):
    model = a_model().eval()
    with torch.no_grad():
        model.gate.linear.weight.normal_()
    pictures = eight.batch(range(3)).pictures
    suffix = {"torch_export": "pt2", "onnx": "onnx"}[name]
    worst = export_model(model, name, str(tmp_path / f"model.{suffix}"), pictures)
    assert worst < 1e-4
    assert (tmp_path / f"model.{suffix}").stat().st_size > 10_000


def test_an_export_that_computes_something_else_is_a_bug(tmp_path, eight, monkeypatch):
    monkeypatch.setattr("millsight.pretraining.downstream.multitask.export.TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from the model"):
        export_model(a_model(), "onnx", str(tmp_path / "m.onnx"), eight.batch([0]).pictures)
    assert not (tmp_path / "m.onnx").exists()


@pytest.fixture(scope="module")
def finished(catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("multitask")
    catalog.write(folder / "catalog.parquet")
    config = FinetuneMultitaskConfig(
        workspace=str(folder / "runs"),
        data=str(folder / "catalog.parquet"),
        training=SETTINGS,
        formats=["onnx"],
        tracking=TrackingConfig("disabled", directory=str(folder / "tracking")),
        accelerator="cpu",
        threads=1,
    )
    return multitask(config), config, folder


def test_the_command_leaves_predictions_any_evaluator_reads(finished, catalog):
    outcome, _, folder = finished
    assert outcome.exit_code == 0
    root = Path(outcome.artifact.path)
    table = pq.read_table(root / "predictions.parquet").to_pylist()
    test = catalog.where(split="test")
    assert [row["sample_id"] for row in table] == [sample.id for sample in test]
    metrics = outcome.artifact.manifest["metrics"]
    model = read_model(str(root))
    pictures, _ = read_pictures(test.samples, (64, 64), lambda done, total: None)
    for row, found, sample in zip(table, predict(model, pictures, 4), test, strict=True):
        assert row["score"] == pytest.approx(found.score, abs=1e-5)
        assert row["decision"] == (row["score"] >= metrics["sample_threshold"])
        mask = cv2.imread(str(root / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (sample.height, sample.width)
        assert set(np.unique(mask)) <= {0, 255}
    rows = add_masks(from_samples(test), str(root / "masks"))
    rows = add_scores(rows, str(root / "predictions.csv"))
    assert [row.decision for row in rows] == [row["decision"] for row in table]
    assert all(row.tp is not None for row in rows)
    assert sorted(path.name for path in root.iterdir()) == [
        "artifact.json",
        "gradients.parquet",
        "masks",
        "model.json",
        "model.onnx",
        "model.safetensors",
        "predictions.csv",
        "predictions.parquet",
        "quarantine.json",
        "results.parquet",
        "thresholds.json",
    ]
    (run,) = read_runs(folder / "tracking")
    assert run.status == "finished"
    logged = {name for row in run.history for name in row}
    assert {"train/loss", "val/loss", "learning_rate"} <= logged
    assert any(re.match("gradient/sample/", name) for name in logged)


def test_a_finished_run_is_not_made_again(finished, capsys):
    outcome, config, _ = finished
    assert multitask(config).artifact.fingerprint == outcome.artifact.fingerprint
    assert "Trained already" in capsys.readouterr().out


def test_the_result_table_holds_what_masks_and_scores_say(finished, catalog):
    outcome, _, _ = finished
    root = Path(outcome.artifact.path)
    table = tables.read_table(root / "results.parquet")
    assert tables.run_of(table) == outcome.artifact.fingerprint
    wanted = add_masks(from_samples(catalog.where(split="test")), str(root / "masks"))
    wanted = add_scores(wanted, str(root / "predictions.csv"))
    assert sorted(tables.from_table(table), key=lambda row: row.uri) == sorted(
        wanted, key=lambda row: row.uri
    )


def test_a_network_need_not_be_square(catalog, tmp_path):
    settings = replace(SETTINGS, image_width=96, mode="joint")
    read, _ = read_pictures(catalog.samples[:3], settings.size, lambda done, total: None)
    assert read.pictures.shape == (3, 3, 64, 96)
    model = start_model(settings, load_weights(settings.encoder))[0].eval()
    pictures = read.batch(range(3)).pictures
    save_model(model, str(tmp_path))
    with torch.no_grad():
        assert model(pictures).mask_logits.shape == (3, 1, 64, 96)
        reread = read_model(str(tmp_path))(pictures)
        # Memory layouts differ, so sums are added up in another order.
        assert torch.allclose(reread.mask_logits, model(pictures).mask_logits, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)  # Ray gives its workers the lowest priority: slow beside others.
def test_ray_train_ends_with_the_weights_of_this_process(finished, tmp_path, ray_session):
    outcome, config, _ = finished
    execution = TrainingExecutionConfig("ray")
    away = multitask(replace(config, workspace=str(tmp_path), execution=execution))
    assert away.artifact.fingerprint == outcome.artifact.fingerprint
    wanted, found = (read_model(run.artifact.path).state_dict() for run in (outcome, away))
    assert all(torch.allclose(wanted[name], found[name], atol=1e-5) for name in wanted)
    names = sorted(path.name for path in Path(away.artifact.path).iterdir())
    assert names == sorted(path.name for path in Path(outcome.artifact.path).iterdir())


@pytest.mark.parametrize(
    ("changes", "training", "message"),
    [
        ({}, {"image_size": 50}, r"--training\.image_size 50"),
        ({}, {"image_width": 50}, r"--training\.image_width 50"),
        ({}, {"encoder_rate": -1.0}, r"--training\.encoder_rate"),
        ({"execution": TrainingExecutionConfig(workers=2)}, {}, r"--execution\.executor ray"),
        ({}, {"decoder_channels": [8]}, r"--training\.decoder_channels"),
        ({}, {"batch_size": 999}, r"--training\.batch_size 999"),
        ({"split": "vel"}, {}, "--split vel: no picture"),
    ],
)
def test_mistakes_are_named(finished, tmp_path, changes, training, message):
    _, config, _ = finished
    settings = replace(SETTINGS, **training)
    wrong = replace(config, workspace=str(tmp_path / "w"), training=settings, **changes)
    with pytest.raises(UserError, match=message):
        multitask(wrong)
    assert not list(tmp_path.glob("w/*.partial"))
