"""Gradients by area, thresholds and exported files."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from tiny_multitask import a_model

from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.pretraining.downstream.multitask import gradients, losses
from millsight.pretraining.downstream.multitask.export import export_model
from millsight.pretraining.downstream.multitask.predict import Prediction
from millsight.pretraining.downstream.multitask.threshold import choose_thresholds


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
