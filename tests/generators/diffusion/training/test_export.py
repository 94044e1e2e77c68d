import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from millsight.generators.diffusion.adapters import open_adapter
from millsight.generators.diffusion.training.export import export_adapter
from millsight.platform.artifacts import drafting
from millsight.platform.fingerprints import Recipe

SCRIPT = Path(__file__).with_name("plain_diffusers_script.py")


def test_a_fresh_process_with_plain_diffusers_makes_the_very_pictures(
    build, settings, tiny_base, tmp_path
):
    module = build(replace(settings, text_rank=2))
    with torch.no_grad():
        torch.manual_seed(1)
        for own in module.state_dict().values():
            own.add_(0.3 * torch.randn_like(own))
    with drafting(tmp_path / "adapter", Recipe("adapter", 1, {})) as draft:
        counts = export_adapter(module, tiny_base, draft)
        draft.commit(counts)
    adapter = open_adapter(tmp_path / "adapter", tiny_base)
    prompt = adapter.prompt("scratch")
    here = _sample(module.pipeline, prompt)
    file = tmp_path / "there.npy"
    words = [sys.executable, SCRIPT, tiny_base.folder, adapter.folder, prompt, file]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([str(word) for word in words], check=True, env=environment)
    there = np.load(file)
    assert np.array_equal(here, there)
    assert not np.array_equal(here, _sample(module.pipeline, adapter.prompt("rolled-in_scale")))
    assert counts["token_numbers"] == 2 * 2 * 32
    assert counts["low_rank_numbers"] > 0


def _sample(pipeline, prompt):
    return pipeline(
        prompt,
        num_inference_steps=3,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images
