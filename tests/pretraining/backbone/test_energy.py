"""Attention on defects, by hand."""

from __future__ import annotations

import pytest
import torch

from millsight.pretraining.backbone.energy import defect_energy


def test_energy_is_the_ratio_of_densities() -> None:
    attention = torch.tensor([[[6.0, 2.0], [2.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
    masks = torch.zeros(2, 1, 2, 2)
    masks[:, :, 0, 0] = 1
    # The mean is 3; the defective cell of the first picture has 6.
    assert defect_energy(attention, masks).tolist() == pytest.approx([2.0, 1.0])
    assert defect_energy(7 * attention, masks).tolist() == pytest.approx([2.0, 1.0])


def test_a_fine_mask_weighs_cells_by_what_it_covers() -> None:
    masks = torch.zeros(1, 1, 8, 8)
    masks[:, :, :4] = 1
    attention = torch.tensor([[[3.0, 3.0], [1.0, 1.0]]])
    assert 1.3 < defect_energy(attention, masks).item() <= 1.5


def test_pictures_without_a_defect_have_no_energy() -> None:
    assert defect_energy(torch.ones(1, 2, 2), torch.zeros(1, 1, 4, 4)).isnan().all()
