"""Samples an adapter with diffusers alone, in a process of its own: BASE ADAPTER PROMPT FILE."""

import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from safetensors.torch import load_file

torch.set_num_threads(1)
base, adapter, prompt, file = sys.argv[1:]
pipeline = diffusers.DiffusionPipeline.from_pretrained(base, safety_checker=None)
pipeline.set_progress_bar_config(disable=True)
pipeline.load_lora_weights(adapter)
embeddings = load_file(Path(adapter) / "learned_embeds.safetensors")
pipeline.load_textual_inversion([{token: rows} for token, rows in embeddings.items()])
pictures = pipeline(
    prompt,
    num_inference_steps=3,
    height=64,
    width=64,
    generator=torch.Generator().manual_seed(0),
    output_type="np",
).images
np.save(file, pictures)
