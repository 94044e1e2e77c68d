"""The three modes, and the weights that their encoder starts from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_multitask import SETTINGS, a_model

from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights
from millsight.pretraining.downstream.multitask import losses
from millsight.pretraining.downstream.multitask.data import read_pictures
from millsight.pretraining.downstream.multitask.model import (
    load_encoder,
    read_model,
    save_model,
    start_model,
)


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


def test_pretrained_weights_fill_the_whole_encoder():
    settings = replace(SETTINGS, encoder="embedded:efficientnet-lite0")
    loaded = load_weights(settings.encoder)
    model, account = start_model(settings, loaded)
    assert len(account.loaded) == len(model.encoder.state_dict()) == 288
    assert {name.split(".")[0] for name in account.skipped} == {"conv_head", "bn2", "classifier"}
    own = model.encoder.state_dict()
    assert all(torch.equal(own[name], loaded.state_dict[name]) for name in account.loaded)
    assert "288 tensors loaded" in str(account)
    partial = {k: v for k, v in loaded.state_dict.items() if not k.startswith("blocks.0")}
    with pytest.raises(UserError, match="the weights lack"):
        load_encoder(model, partial)
    resized = {**loaded.state_dict, "conv_stem.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"conv_stem\.weight \(1,\)"):
        load_encoder(model, resized)


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
