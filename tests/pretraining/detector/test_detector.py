"""Every family keeps the promises of the interface, on tiny networks."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import timm
import torch
from tiny_detectors import ALL, FAMILIES, SIDE, Build, detr, faster_rcnn, make
from torch import Tensor
from torchvision.ops import box_iou

from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights
from millsight.pretraining.backbone.export import export_backbone
from millsight.pretraining.backbone.stages import build_backbone
from millsight.pretraining.detector.detr import DetrDetector
from millsight.pretraining.detector.faster_rcnn import FasterRCNNDetector
from millsight.pretraining.detector.interface import DetectionBatch, Detector
from millsight.pretraining.detector.stages import BackboneChoice
from millsight.pretraining.detector.yolo import YoloDetector

LITE0 = "embedded:efficientnet-lite0"


def scratch(pictures: int = 2) -> DetectionBatch:
    """Grey noise with one bright square in each picture but the last, which has none."""
    generator = torch.Generator().manual_seed(0)
    shown = [0.2 * torch.rand(3, 64, 80, generator=generator) for _ in range(pictures)]
    for picture in shown[:-1]:
        picture[:, 20:44, 30:60] += 0.7
    box, nothing = torch.tensor([[30.0, 20.0, 60.0, 44.0]]), torch.zeros(0, 4)
    boxes = [box] * (pictures - 1) + [nothing]
    return DetectionBatch(shown, boxes, [torch.zeros(len(b), dtype=torch.int64) for b in boxes])


def negatives() -> DetectionBatch:
    batch = scratch()
    empty = [torch.zeros(0, 4) for _ in batch.pictures]
    return DetectionBatch(batch.pictures, empty, [b[:, 0].long() for b in empty])


def train(
    detector: Detector, batch: DetectionBatch, steps: int, rate: float = 1e-3
) -> list[dict[str, float]]:
    learned = [p for p in detector.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=rate)
    history = []
    for _ in range(steps):
        torch.manual_seed(1)
        terms = detector.losses(batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 10.0)
        optimizer.step()
        history.append({name: term.item() for name, term in terms.items()})
    return history


@pytest.mark.parametrize("build", [*ALL, pytest.param(detr("dino_like"), id="dino_like")])
def test_a_few_steps_on_one_batch_lower_the_loss(build: Build) -> None:
    detector = make(build)
    if isinstance(detector, DetrDetector):
        # The whole loss jumps whenever another query takes a box; denoising knows which is which.
        history = [terms["denoising"] for terms in train(detector, scratch(), steps=10)]
    elif isinstance(detector, YoloDetector):
        # Until some boxes overlap the truth, nothing is assigned and the loss is next to nothing.
        totals = [sum(terms.values()) for terms in train(detector, scratch(), steps=30)]
        history = totals[totals.index(max(totals)) :]
    else:
        history = [sum(terms.values()) for terms in train(detector, scratch(), steps=4)]
    assert history[-1] < 0.93 * history[0]


@pytest.mark.slow
@pytest.mark.parametrize("build", ALL)
def test_a_batch_is_learnt_by_heart(build: Build) -> None:
    detector, batch = make(build), scratch()
    # A YOLO predicts with running statistics, which follow large steps too slowly.
    rate = 5e-4 if isinstance(detector, YoloDetector) else 1e-3
    for _ in range(12):
        train(detector, batch, steps=30, rate=rate)
        shown, nothing = detector.predict(batch.pictures)
        sure = shown.scores[0] > 2 * max(nothing.scores, default=0.0)
        if sure and box_iou(shown.boxes[:1], batch.boxes[0]).item() > 0.7:
            return
    pytest.fail(f"after 360 steps it finds {shown} and {nothing}")


@pytest.mark.parametrize("build", ALL)
def test_pictures_without_boxes_teach_that_nothing_is_there(build: Build) -> None:
    detector = make(build)
    batch = negatives()
    losses = detector.losses(batch)
    assert all(torch.isfinite(loss) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    # Workers that train together wait for every gradient.
    assert not [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    # Nothing is matched, so that only calling less a defect lowers it.
    history = [sum(terms.values()) for terms in train(detector, batch, steps=3)]
    assert history[-1] < history[0]


@pytest.mark.parametrize("build", ALL)
def test_every_learning_parameter_takes_a_gradient(build: Build) -> None:
    detector = make(build)
    torch.stack(list(detector.losses(scratch()).values())).sum().backward()
    assert not [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize("build", ALL)
def test_boxes_are_in_pixels_of_the_picture_that_was_given(build: Build) -> None:
    detector = make(build, n_classes=2)
    picture = scratch().pictures[0]
    # Whole blocks: brought back to the network's size, both pictures are the same.
    large = picture.repeat_interleave(2, 1).repeat_interleave(2, 2)
    small_found, large_found = detector.predict([picture, large])
    assert detector.training
    assert len(small_found.boxes) > 0
    height, width = picture.shape[-2:]
    for found, scale in ((small_found, 1), (large_found, 2)):
        limit = scale * torch.tensor([width, height, width, height]) + 1e-3
        assert (found.boxes >= 0).all()
        assert (found.boxes <= limit).all()
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert set(found.labels.tolist()) <= {0, 1}
    assert torch.allclose(large_found.boxes[:3], 2 * small_found.boxes[:3], atol=0.5)
    assert torch.allclose(large_found.scores[:3], small_found.scores[:3], atol=0.01)


@pytest.mark.parametrize("build", ALL)
def test_a_frozen_backbone_stays_as_it_is_and_thaws_again(build: Build) -> None:
    detector = make(build)
    detector.freeze_backbone(True)
    before = detector.backbone_state()
    train(detector, scratch(), steps=2)
    assert _equal(detector.backbone_state(), before)
    detector.freeze_backbone(False)
    train(detector, scratch(), steps=1)
    assert not _equal(detector.backbone_state(), before)


@pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES)
def test_lower_stages_and_norms_never_learn(build: Build) -> None:
    detector = make(build)
    before = detector.backbone_state()
    train(detector, scratch(), steps=2)
    after = detector.backbone_state()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {"layer2", "layer3", "layer4"}
    assert not [name for name in changed if "bn" in name or "running" in name]


@pytest.mark.parametrize("build", ALL)
def test_new_classes_change_the_class_layers_alone(build: Build) -> None:
    detector = make(build)
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    detector.reset_classes(3)
    after = detector.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    words = ("class_embed", "enc_score_head", "box_predictor", ".cv3.")
    assert changed
    assert all(any(word in name for word in words) for name in changed)
    batch = scratch()
    batch.labels[0][:] = 2
    assert all(math.isfinite(term) for term in train(detector, batch, steps=1)[0].values())
    assert {int(n) for one in detector.predict(batch.pictures) for n in one.labels} <= {0, 1, 2}
    fresh = make(build, n_classes=3)
    fresh.load_state_dict(after)


@pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES)
def test_an_exported_backbone_goes_in_and_comes_out(build: Build, tmp_path: Path) -> None:
    loaded = load_weights(LITE0)
    export_backbone(build_backbone(loaded), loaded, str(tmp_path))
    exported = load_weights(f"path:{tmp_path}")
    detector = make(build, choice=BackboneChoice.of(exported))
    heads = {k: v.clone() for k, v in detector.state_dict().items() if "fpn" in k or "decoder" in k}
    account = detector.load_backbone(exported.state_dict)
    state = detector.backbone_state()
    assert set(account.loaded) | set(account.skipped) == set(exported.state_dict)
    assert set(account.loaded) == set(state)
    assert all(torch.equal(state[name], exported.state_dict[name]) for name in state)
    # Channels after the last stage are of no use to a features_only network.
    assert {name.partition(".")[0] for name in account.skipped} <= {"conv_head", "bn2"}
    assert len(account.new) == len(detector.state_dict()) - len(account.loaded)
    assert all(torch.equal(detector.state_dict()[name], heads[name]) for name in heads)
    assert heads.keys() <= set(account.new)
    whole = {**exported.state_dict, **state}
    timm.create_model("tf_efficientnet_lite0", num_classes=0).load_state_dict(whole)
    text = str(account)
    assert f"{len(account.loaded)} tensors loaded" in text
    assert len(account.lines()) == len(exported.state_dict) + len(account.new)


def test_features_are_the_networks_own() -> None:
    loaded = load_weights(LITE0)
    network = build_backbone(loaded).network.eval()
    picture = torch.rand(1, 3, SIDE, SIDE)
    choice = BackboneChoice.of(loaded)
    for build in FAMILIES.values():
        detector = make(build, choice=choice).eval()
        detector.load_backbone(loaded.state_dict)
        inner = detector.backbone
        two_stage = isinstance(detector, FasterRCNNDetector)
        # Another layout in memory rounds otherwise.
        network.to(memory_format=torch.channels_last if two_stage else torch.contiguous_format)
        expected = network.forward_intermediates(
            picture, indices=[2, 3, 4], intermediates_only=True
        )
        if two_stage:
            found = inner.forward_intermediates(picture, indices=[2, 3, 4], intermediates_only=True)
        else:
            found = inner(picture)
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_weights_that_do_not_fit_are_refused_and_nothing_is_copied() -> None:
    detector = make(faster_rcnn)
    state = detector.backbone_state()
    changed = {name: tensor + 1 for name, tensor in state.items()}
    del changed["layer4.0.conv1.weight"]
    with pytest.raises(UserError, match=r"lack 1 .*layer4\.0\.conv1\.weight"):
        detector.load_backbone(changed)
    with pytest.raises(UserError, match="other shapes"):
        detector.load_backbone({**state, "layer4.0.conv1.weight": torch.zeros(1)})
    assert _equal(detector.backbone_state(), state)


@pytest.mark.parametrize("build", ALL)
def test_a_copy_is_whole(build: Build) -> None:
    detector = make(build)
    detector.freeze_backbone(True)
    twin = copy.deepcopy(detector)
    train(twin, scratch(), steps=1)
    assert _equal(twin.backbone_state(), detector.backbone_state())
    assert not any(module.training for module in twin.train().backbone.modules())


def test_backbones_that_do_not_serve_are_refused() -> None:
    with pytest.raises(UserError, match="strides"):
        make(faster_rcnn, choice=BackboneChoice("vit_tiny_patch16_224"))
    with pytest.raises(UserError, match="resnet5O"):
        make(faster_rcnn, choice=BackboneChoice("resnet5O"))
    with pytest.raises(UserError, match="Swin"):
        make(detr("d_fine"), choice=BackboneChoice("swin_tiny_patch4_window7_224"))
    with pytest.raises(UserError, match="open_clip"):
        BackboneChoice.of(load_weights("embedded:micro-clip"))


def test_swin_takes_pictures_of_any_size() -> None:
    detector = make(faster_rcnn, choice=BackboneChoice("swin_tiny_patch4_window7_224"))
    losses = detector.losses(scratch())
    assert all(torch.isfinite(loss) for loss in losses.values())


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
