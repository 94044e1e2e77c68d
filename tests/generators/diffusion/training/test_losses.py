import pytest
import torch
from diffusers import DDPMScheduler

from millsight.generators.diffusion.training.losses import (
    masked_loss,
    place_weights,
    prediction_target,
    snr_weights,
)
from millsight.platform.errors import UserError

ABAR = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)


def test_weights_by_hand():
    # SNR = 9, 1, 1/9; gamma 5.
    epsilon = snr_weights(ABAR, "epsilon", 5)
    torch.testing.assert_close(epsilon, torch.tensor([5 / 9, 1, 1], dtype=torch.float64))
    velocity = snr_weights(ABAR, "v_prediction", 5)
    expected = torch.tensor([5 / 10, 1 / 2, (1 / 9) / (1 + 1 / 9)], dtype=torch.float64)
    torch.testing.assert_close(velocity, expected)
    assert snr_weights(ABAR, "epsilon", 0).tolist() == [1, 1, 1]


def test_a_schedule_that_ends_in_pure_noise_has_finite_weights():
    ends = torch.tensor([1.0, 0.5, 0.0])
    assert snr_weights(ends, "epsilon", 5).tolist() == [0, 1, 1]
    assert snr_weights(ends, "v_prediction", 5).tolist() == [0, 0.5, 0]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_either_prediction_weighs_the_clean_latent_by_the_clipped_snr(kind):
    scheduler = DDPMScheduler(prediction_type=kind)
    torch.manual_seed(0)
    clean, noise, wrong = torch.randn(3, 6, 4, 2, 2, dtype=torch.float64)
    steps = torch.tensor([5, 200, 400, 600, 800, 950])
    abar = scheduler.alphas_cumprod[steps].double()
    alpha, sigma = abar.sqrt()[:, None, None, None], (1 - abar).sqrt()[:, None, None, None]
    noisy = alpha * clean + sigma * noise
    # What is predicted if the network takes `wrong` for the clean latent.
    noise_then = (noisy - alpha * wrong) / sigma
    predicted = noise_then if kind == "epsilon" else alpha * noise_then - sigma * wrong
    target = prediction_target(scheduler, clean, noise, steps).double()
    error = (predicted - target).square().mean(dim=(1, 2, 3))
    weights = snr_weights(scheduler.alphas_cumprod, kind, 5)[steps]
    snr = abar / (1 - abar)
    expected = snr.clamp(max=5) * (wrong - clean).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(weights * error, expected, rtol=1e-4, atol=1e-6)


def test_other_predictions_are_refused():
    with pytest.raises(UserError, match="sample"):
        snr_weights(ABAR, "sample", 5)


def test_errors_count_less_outside_the_mask_and_small_masks_count_the_same():
    mask = torch.zeros(2, 16, 16)
    mask[0, :8, :8], mask[1] = 1, 1
    places = place_weights(mask, (2, 2), 0.2)
    torch.testing.assert_close(places[0, 0], torch.tensor([[1.0, 0.2], [0.2, 0.2]]))
    torch.testing.assert_close(places[1, 0], torch.ones(2, 2))
    error = torch.zeros(2, 4, 2, 2)
    error[0, :, 0, 0] = 1
    nothing, one = torch.zeros_like(error), torch.ones(2)
    # 1 / 1.6 of the first crop's weight, nothing of the second's.
    assert masked_loss(error, nothing, places, one).item() == pytest.approx(0.625 / 2)
    error = torch.ones_like(error)
    assert masked_loss(error, nothing, places, one).item() == pytest.approx(1)
    assert masked_loss(error, nothing, places, one / 4).item() == pytest.approx(0.25)


def test_a_mask_that_covers_a_latent_in_part_weighs_in_part():
    mask = torch.zeros(1, 8, 8)
    mask[0, :, :2] = 1
    assert place_weights(mask, (1, 1), 0.2).item() == pytest.approx(0.2 + 0.8 / 4)
