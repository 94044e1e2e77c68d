"""The tasks' losses, on tiny networks."""

from __future__ import annotations

import math

import pytest
import timm
import torch

from millsight.pretraining.backbone.stages import StagedBackbone
from millsight.pretraining.backbone.tasks import (
    MOCO_TEMPERATURE,
    Classification,
    MoCo,
    SimMIM,
    Task,
    Views,
    contrast,
    hide,
)

SIDE = 64


def backbone() -> StagedBackbone:
    torch.manual_seed(0)
    return StagedBackbone(timm.create_model("resnet10t", pretrained=False))


def views(n_views: int, n: int = 4) -> Views:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(n, n_views, 3, SIDE, SIDE, generator=generator)
    maps = torch.rand(n, n_views, 1, SIDE, SIDE, generator=generator)
    return Views(pictures, maps, torch.arange(n) % 2)


def tasks() -> list[Task]:
    return [Classification(backbone(), 2), MoCo(backbone()), SimMIM(backbone(), 32, 512)]


@pytest.mark.parametrize("task", tasks(), ids=lambda task: type(task).__name__)
def test_a_few_steps_on_one_batch_lower_the_loss(task: Task) -> None:
    task.train()
    batch = views(task.n_views)
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for step in range(5):
        torch.manual_seed(1)
        output = task(batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        task.after_step(step / 5)
        losses.append(output.loss.item())
    assert losses[-1] < 0.9 * losses[0]
    n = batch.pictures.shape[0] * task.n_views
    assert [stage.shape[0] for stage in output.stages] == [n, n]
    assert output.maps.shape == (n, 1, SIDE, SIDE)


def test_views_keep_picture_and_map_together() -> None:
    batch = views(2, 3)
    pictures, maps = batch.flat()
    assert torch.equal(pictures[3], batch.pictures[0, 1])
    assert torch.equal(maps[3], batch.maps[0, 1])


def test_contrast_against_two_pictures_by_hand() -> None:
    queries = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    keys = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # The first query's cosines are 1 and 1, the second's 0 and 0: one in two by chance.
    assert contrast(queries, keys).item() == pytest.approx(2 * MOCO_TEMPERATURE * math.log(2))


def test_the_slow_network_follows_and_takes_no_gradient() -> None:
    task = MoCo(backbone()).train()
    assert not any(p.requires_grad for p in task.slow_backbone.parameters())
    with torch.no_grad():
        task.project[0].weight.add_(1.0)
    before = task.slow_project[0].weight.clone()
    task.after_step(0.0)
    after = task.slow_project[0].weight.clone()
    assert (after - before).mean().item() == pytest.approx(0.01, rel=1e-3)
    task.after_step(1.0)
    assert torch.equal(task.slow_project[0].weight, after)


def test_hidden_squares_are_whole_and_six_in_ten() -> None:
    hidden = hide(torch.zeros(3, 3, 160, 320))
    squares = hidden.reshape(3, 5, 32, 10, 32).float().mean(dim=(2, 4))
    assert set(squares.unique().tolist()) == {0.0, 1.0}
    assert squares.sum(dim=(1, 2)).tolist() == [30, 30, 30]
    assert not torch.equal(hidden[0], hidden[1])


def test_only_hidden_pixels_count_for_painting() -> None:
    task = SimMIM(backbone(), 32, 512).eval()
    batch = views(1, 2)
    torch.manual_seed(3)
    hidden = hide(batch.pictures[:, 0])
    loss = []
    for shift in (0.0, 0.3):
        changed = torch.where(hidden, batch.pictures[:, 0] + shift, batch.pictures[:, 0])
        torch.manual_seed(3)
        loss.append(task(Views(changed[:, None], batch.maps, batch.targets)))
    # What is hidden does not reach the network, only the truth that it is compared with.
    assert torch.equal(loss[0].stages[-1], loss[1].stages[-1])
    assert loss[0].loss.item() != loss[1].loss.item()
