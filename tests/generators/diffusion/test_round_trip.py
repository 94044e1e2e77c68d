import shutil

import numpy as np
import pytest
from diffusers import AutoencoderTiny

from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.diffusion.round_trip import check_round_trip
from millsight.generators.diffusion.sampler import Drawing, Patch, Sampler
from millsight.generators.samples import Materials
from millsight.platform.errors import UserError


@pytest.fixture(scope="module")
def small_vae(tmp_path_factory):
    """A folder like TAESD's, with random weights."""
    folder = tmp_path_factory.mktemp("vae") / "taesd"
    widths = (8, 8, 8, 8)
    AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).save_pretrained(folder)
    (folder / "LICENSE").write_text("MIT License\n")
    return folder


def test_another_autoencoder_stands_in(tiny_sd, small_vae):
    base = open_base(str(tiny_sd), vae=str(small_vae))
    own = open_base(str(tiny_sd))
    assert base.fingerprint != own.fingerprint
    assert (base.sha256, base.side) == (own.sha256, own.side)
    sampler = Sampler.load(base, batch_size=2)
    assert type(sampler.pipeline.vae).__name__ == "AutoencoderTiny"
    picture = np.full((64, 64, 3), 120, np.uint8)
    filled = list(sampler.fill([Patch(0, picture)], Drawing("a pit", 2, 0.5, 1.0)))
    assert filled[0].shape == (64, 64, 3)
    assert np.isfinite(filled[0]).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "needed is a folder"),
        (lambda f: (f / "config.json").write_text('{"_class_name": "VQModel"}'), "VQModel; known"),
        (lambda f: (f / "LICENSE").write_text("Only for non-commercial use."), "forbids"),
    ],
)
def test_what_is_no_autoencoder(tiny_sd, small_vae, tmp_path, spoil, message):
    folder = shutil.copytree(small_vae, tmp_path / "vae")
    spoil(folder)
    with pytest.raises(UserError, match=message):
        open_base(str(tiny_sd), vae=str(folder))


def test_a_poor_autoencoder_is_refused(sampler, materials):
    with pytest.raises(UserError, match=r"below --diffusion\.least_psnr 22: fine defects"):
        check_round_trip(sampler, materials, "scratch", DiffusionConfig())


def test_a_low_demand_lets_it_pass(sampler, materials):
    config = DiffusionConfig(least_psnr=1.0)
    assert 1 < check_round_trip(sampler, materials, "scratch", config) < 22


def test_without_real_pictures_nothing_is_measured(sampler):
    config = DiffusionConfig()
    assert check_round_trip(sampler, Materials(), "scratch", config) == float("inf")
