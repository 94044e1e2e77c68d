import diffusers
import torch


def test_the_folders_are_opened_by_diffusers(tiny_sd, tiny_sd_inpaint):
    for folder, channels in ((tiny_sd, 4), (tiny_sd_inpaint, 9)):
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, safety_checker=None)
        assert pipeline.unet.config.in_channels == channels
        assert pipeline.vae_scale_factor == 8
        assert not list(folder.rglob("*.bin"))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert size < 1.5e6
        assert torch.isfinite(next(pipeline.unet.parameters())).all()
