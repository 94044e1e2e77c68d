"""Losses and gate, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from millsight.pretraining.downstream.multitask import losses
from millsight.pretraining.downstream.multitask.losses import Batch
from millsight.pretraining.downstream.multitask.model import MultitaskOutput, SampleGate


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
