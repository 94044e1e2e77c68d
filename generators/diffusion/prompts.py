"""Prompts as what the U-Net attends to, each encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from millsight.generators.diffusion.adapters import Adapter
from millsight.generators.diffusion.pipelines import towers, unet_arguments
from millsight.generators.diffusion.switching import AdapterSwitch
from millsight.platform.errors import UserError

KEPT = 64
# No token of CLIP's vocabulary is longer, in bytes; and there is a space before it.
LONGEST_TOKEN = 32 + 1
SHOWN = 60

States = Mapping[str, Tensor]


class PromptEncoder:
    """Text states of prompts, as diffusers' own pipelines make them.

    Args:
        pipeline: Of diffusers.
        switch: What its adapters are loaded by; the one that a prompt needs must be in use.
    """

    def __init__(self, pipeline: Any, switch: AdapterSwitch) -> None:
        self._pipeline = pipeline
        self._switch = switch
        self._states: OrderedDict[tuple[str, str | None], tuple[States, States]] = OrderedDict()

    def conditions(
        self, prompt: str, adapter: Adapter | None, *, batch: int, side: int, guided: bool
    ) -> dict[str, Any]:
        """Return the U-Net's keyword arguments for a batch of one prompt.

        Args:
            prompt: As people write it, with an adapter's tokens as in its card.
            adapter: The one in use.
            batch: Rows.
            side: Of the pictures, pixels.
            guided: Put ``batch`` rows without text before those with it.

        Raises:
            UserError: If the prompt has more tokens than the text encoder reads.
        """
        key = prompt, adapter.name if adapter else None
        if key not in self._states:
            self._states[key] = self._encode(prompt, adapter)
        self._states.move_to_end(key)
        while len(self._states) > KEPT:
            self._states.popitem(last=False)
        text, without = self._states[key]
        rows = {
            name: torch.cat([without[name]] * (batch * guided) + [text[name]] * batch)
            for name in text
        }
        return unet_arguments(rows, side)

    def _encode(self, prompt: str, adapter: Adapter | None) -> tuple[States, States]:
        spelled = self._switch.spell(prompt, adapter)
        self._check_length(prompt, spelled)
        encoded = self._pipeline.encode_prompt(
            prompt=spelled,
            device=self._pipeline.unet.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
        text, without = {"prompt_embeds": encoded[0]}, {"prompt_embeds": encoded[1]}
        if len(encoded) > 2:
            text["pooled_prompt_embeds"] = encoded[2]
            without["pooled_prompt_embeds"] = encoded[3]
        return text, without

    def _check_length(self, prompt: str, spelled: str) -> None:
        for tokenizer, _ in towers(self._pipeline):
            limit = tokenizer.model_max_length
            # Text that cannot fit is not even cut into tokens.
            too_long = len(prompt) > limit * LONGEST_TOKEN
            if not too_long:
                whole = self._pipeline.maybe_convert_prompt(spelled, tokenizer)
                too_long = len(tokenizer(whole, truncation=False).input_ids) > limit
            if too_long:
                raise UserError(
                    f"--prompt {prompt[:SHOWN]!r}... has {len(prompt)} characters; the text "
                    f"encoder reads {limit - 2} tokens, about as many words. Shorten it: what lies "
                    "behind would not be looked at."
                )
