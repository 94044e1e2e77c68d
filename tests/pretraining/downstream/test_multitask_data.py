"""Pictures and masks, and what is known of them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from tiny_multitask import SETTINGS

from millsight.platform.catalog.sample import Sample
from millsight.pretraining.downstream.multitask.data import (
    MultitaskData,
    TrainingPictures,
    read_pictures,
    read_truth,
)


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
