"""Lambda is set once and kept; the task alone is the task alone."""

from __future__ import annotations

import functools

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from millsight.platform.errors import UserError
from millsight.platform.training import trainer_options
from millsight.platform.weights import load_weights
from millsight.pretraining.backbone.config import BackboneConfig
from millsight.pretraining.backbone.distillation import distillation_loss
from millsight.pretraining.backbone.module import BackboneModule, build_module
from millsight.pretraining.backbone.tasks import Views

SIDE, BATCH = 64, 4
SOURCE = "random:timm:resnet10t?seed=0"


def batches(n: int, n_views: int = 1) -> list[Views]:
    generator = torch.Generator().manual_seed(0)
    return [
        Views(
            torch.rand(BATCH, n_views, 3, SIDE, SIDE, generator=generator),
            torch.rand(BATCH, n_views, 1, SIDE, SIDE, generator=generator),
            torch.arange(BATCH) % 2,
        )
        for _ in range(n)
    ]


def module(**settings: object) -> BackboneModule:
    values = {"image_size": SIDE, "epochs": 1, "batch_size": BATCH} | settings
    config = BackboneConfig(**values)  # type: ignore[arg-type]
    return build_module(load_weights(SOURCE), config, 2)


def train(trained: BackboneModule, given: list[Views], **settings: object) -> lightning.Trainer:
    options = {"epochs": 1, "clip_norm": 0.0, "accumulate": 1, "precision": "32"} | settings
    trainer = lightning.Trainer(
        **trainer_options(**options),  # type: ignore[arg-type]
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(trained, DataLoader(given, batch_size=None))  # type: ignore[arg-type]
    return trainer


@pytest.mark.parametrize("task", ["classification", "moco", "simmim"])
def test_lambda_makes_the_first_losses_equal_and_stays(task: str) -> None:
    trained = module(task=task)
    seen: list[dict[str, float]] = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, *rest: object) -> None:
            seen.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[Watch()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    given = batches(3, trained.task.n_views)
    trainer.fit(trained, DataLoader(given, batch_size=None))  # type: ignore[arg-type]
    first = seen[0]
    weighted = first["train/distill_weight"] * first["train/distill"]
    assert weighted == pytest.approx(first["train/task"], rel=1e-5)
    assert first["train/loss"] == pytest.approx(2 * first["train/task"], rel=1e-5)
    assert {row["train/distill_weight"] for row in seen} == {first["train/distill_weight"]}
    assert trained.state_dict()["distill_weight"].item() == pytest.approx(
        first["train/distill_weight"]
    )


def test_without_distillation_the_maps_do_not_matter() -> None:
    given = batches(2)
    blank = [Views(v.pictures, torch.zeros_like(v.maps), v.targets) for v in given]
    states = []
    for data in (given, blank):
        trained = module(distill=False)
        train(trained, data)
        states.append(trained.task.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_distillation_turns_attention_towards_the_maps() -> None:
    (batch,) = batches(1)
    distances = []
    for distill in (False, True):
        trained = module(distill=distill, learning_rate=0.02, warm_up=0.0)
        train(trained, [batch] * 12)
        output = trained.eval().task(batch)
        distances.append(distillation_loss(output.stages, output.maps, "cosine").item())
    assert distances[1] < 0.9 * distances[0]


def test_the_family_decides_form_and_optimizer() -> None:
    cnn = module()
    assert (cnn.form, cnn.optimizer_name) == ("cosine", "sgd")
    config = BackboneConfig(image_size=224)
    swin = build_module(load_weights("random:timm:swin_tiny_patch4_window7_224?seed=0"), config, 2)
    assert (swin.form, swin.optimizer_name) == ("l2", "adamw")


@pytest.mark.parametrize("distill", [False, True])
def test_a_loss_that_is_not_finite_ends_the_run_with_one_sentence(distill: bool) -> None:
    (batch,) = batches(1)
    batch.pictures[0, 0, 0, 0, 0] = float("nan")
    said = r"the loss became nan at step 0 \(task nan.*\); lower --training"
    with pytest.raises(UserError, match=said):
        train(module(distill=distill), [batch])


def test_the_slow_network_follows_steps_and_not_batches() -> None:
    trained = module(task="moco", distill=False)
    progress: list[float] = []
    follow = trained.task.after_step
    trained.task.after_step = lambda at: (progress.append(at), follow(at))  # type: ignore[assignment]
    train(trained, batches(5, trained.task.n_views), accumulate=2)
    assert progress == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("task", ["classification", "moco", "simmim"])
def test_bfloat16_trains(task: str) -> None:
    trained = module(task=task)
    before = {name: value.clone() for name, value in trained.task.state_dict().items()}
    train(trained, batches(1, trained.task.n_views), precision="bf16")
    after = trained.task.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert {p.dtype for p in trained.parameters()} == {torch.float32}
    assert torch.isfinite(trained.distill_weight)


def test_a_compiled_backbone_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler of machine code is not what is tested, and takes a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, compiled = module(), module(compile=True)
    compiled.on_fit_start()
    (batch,) = batches(1)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    losses = [trained.task(batch).loss for trained in (plain, compiled)]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    torch._dynamo.reset()


def test_one_category_cannot_be_told_apart() -> None:
    with pytest.raises(UserError, match=r"--training\.task moco"):
        build_module(load_weights(SOURCE), BackboneConfig(), 1)
