"""Attention distillation against cases computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from millsight.pretraining.backbone.distillation import (
    Form,
    attention_map,
    balance,
    distillation_loss,
    map_distance,
    resize_target,
)


def test_attention_sums_squares_over_channels() -> None:
    feature = torch.tensor([[[[1.0, -2.0]], [[3.0, 0.5]]]])
    assert attention_map(feature).tolist() == [[[10.0, 4.25]]]


@pytest.mark.parametrize(
    ("form", "loss", "gradient"),
    [
        # a = (3, 4)/5, t = (1, 0): cos = 0.6; d(1 - cos)/da = -(t - 0.6 a) / |a|.
        ("cosine", 0.4, [-(1 - 0.36) / 5, 0.48 / 5]),
        # |a - t| = sqrt(2 - 2 * 0.6); its gradient is the cosine's over the norm.
        ("l2", math.sqrt(0.8), [-(0.64 / 5) / math.sqrt(0.8), (0.48 / 5) / math.sqrt(0.8)]),
    ],
)
def test_distance_and_gradient_of_two_cells(form: Form, loss: float, gradient: list[float]) -> None:
    attention = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    distance = map_distance(attention, torch.tensor([[[7.0, 0.0]]]), form)
    distance.backward()
    assert distance.item() == pytest.approx(loss, abs=1e-6)
    assert attention.grad is not None
    assert attention.grad.flatten().tolist() == pytest.approx(gradient, abs=1e-6)


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_agreement_and_empty_maps_give_finite_gradients(form: Form) -> None:
    feature = torch.ones(1, 1, 2, 2, requires_grad=True)
    agreeing = map_distance(attention_map(feature), torch.full((1, 2, 2), 5.0), form)
    assert agreeing.item() == pytest.approx(0, abs=2e-6)
    map_distance(attention_map(feature), torch.zeros(1, 2, 2), form).backward()
    assert feature.grad is not None
    assert torch.isfinite(feature.grad).all()


def test_every_stage_is_resized_from_the_map_itself() -> None:
    maps = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    features = [torch.rand(2, 3, side, side) for side in (4, 3)]
    own = [
        map_distance(attention_map(f), resize_target(maps, f.shape[-2:]), "cosine")
        for f in features
    ]
    assert distillation_loss(features, maps, "cosine").item() == pytest.approx(sum(own).item())
    quirk = resize_target(resize_target(maps, (4, 4))[:, None], (3, 3))
    second = map_distance(attention_map(features[1]), quirk, "cosine")
    chained = distillation_loss(features, maps, "cosine", chained=True)
    assert chained.item() == pytest.approx((own[0] + second).item())
    assert second.item() != pytest.approx(own[1].item())


def test_a_single_cell_s_target_is_the_mean_of_the_map() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resize_target(maps, (1, 1)).item() == pytest.approx(7.5)


@given(scale=st.floats(1e-3, 1e3), form=st.sampled_from(["cosine", "l2"]))
def test_the_scale_of_map_and_feature_does_not_matter(scale: float, form: Form) -> None:
    generator = torch.Generator().manual_seed(1)
    feature = torch.rand(1, 4, 5, 5, generator=generator)
    maps = torch.rand(1, 1, 9, 9, generator=generator)
    plain = distillation_loss([feature], maps, form)
    scaled = distillation_loss([feature * scale], maps * scale, form)
    assert scaled.item() == pytest.approx(plain.item(), abs=1e-5)


def test_lambda_makes_both_losses_equal_and_has_no_gradient() -> None:
    task, distillation = torch.tensor(3.0, requires_grad=True), torch.tensor(0.5)
    weight = balance(task, distillation)
    assert weight.item() == 6.0
    assert not weight.requires_grad
    with pytest.raises(ValueError, match="distillation loss of 0"):
        balance(task, torch.tensor(0.0))
