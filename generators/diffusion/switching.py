"""Several adapters in one pipeline, one of them active at a time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from safetensors import SafetensorError

from millsight.generators.diffusion.adapters import LORA, Adapter
from millsight.generators.diffusion.pipelines import towers
from millsight.platform.errors import UserError

LIMIT = 8


class AdapterSwitch:
    """Loads adapters into a pipeline as they are wanted.

    Tokens get names of their adapter's own, so that two adapters may both have ``<scratches>``.
    Low-rank weights stay beside the base weights and are never added to them: after any number of
    switches the base is what it was, to the last bit.

    Args:
        pipeline: Of diffusers; belongs to the switch from now on.
        limit: LoRAs kept in memory; the one not used for the longest time goes first.
    """

    def __init__(self, pipeline: Any, limit: int = LIMIT) -> None:
        self._pipeline = pipeline
        self._limit = limit
        self._loaded: OrderedDict[str, bool] = OrderedDict()
        self._spoken: set[str] = set()
        self._active: str | None = None

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the adapters in memory, the one used last at the end."""
        return tuple(self._loaded)

    def use(self, adapter: Adapter | None) -> None:
        """Make an adapter the active one; ``None`` gives the base model as it is.

        Raises:
            UserError: If its weights do not fit the pipeline; the active one stays.
        """
        name = None if adapter is None else adapter.name
        if adapter is not None and name not in self._loaded:
            self._load(adapter)
        if name is not None:
            self._loaded.move_to_end(name)
        if name != self._active:
            self._activate(name)
        while len(self._loaded) > self._limit:
            self.unload(next(iter(self._loaded)))

    def unload(self, name: str) -> None:
        """Take an adapter's LoRA out of memory; its few token rows stay."""
        if name == self._active:
            self._activate(None)
        if self._loaded.pop(name, False):
            self._pipeline.delete_adapters(name)

    def spell(self, prompt: str, adapter: Adapter | None) -> str:
        """Write an adapter's tokens in a prompt as the pipeline knows them."""
        if adapter is None:
            return prompt
        for token in adapter.card.tokens.values():
            if token:
                prompt = prompt.replace(token, own_token(token, adapter))
        return prompt

    def _activate(self, name: str | None) -> None:
        if name is not None and self._loaded[name]:
            self._pipeline.enable_lora()
            self._pipeline.set_adapters(name)
        elif any(self._loaded.values()):
            self._pipeline.disable_lora()
        self._active = name

    def _load(self, adapter: Adapter) -> None:
        try:
            if adapter.name not in self._spoken:
                self._add_tokens(adapter)
            if adapter.lora is not None:
                self._pipeline.load_lora_weights(
                    adapter.folder,
                    weight_name=LORA,
                    adapter_name=adapter.name,
                    local_files_only=True,
                    use_safetensors=True,
                )
        except (ValueError, RuntimeError, KeyError, OSError, SafetensorError) as error:
            self._forget(adapter.name)
            raise UserError(
                f"--adapter {adapter.folder}: it does not fit the base model ({error})."
            ) from error
        self._loaded[adapter.name] = adapter.lora is not None
        # Loading activates it; whoever asked may have the base model active.
        self._activate(self._active)

    def _add_tokens(self, adapter: Adapter) -> None:
        for (tokenizer, encoder), rows in zip(
            towers(self._pipeline), adapter.embeddings(), strict=False
        ):
            known = set(adapter.card.tokens.values())
            if set(rows) - known:
                raise ValueError(f"embeddings of {', '.join(sorted(set(rows) - known))}")
            # New rows are drawn before they get their values.
            with torch.random.fork_rng(devices=[]):
                self._pipeline.load_textual_inversion(
                    [{own_token(token, adapter): row} for token, row in rows.items()],
                    tokenizer=tokenizer,
                    text_encoder=encoder,
                )
        self._spoken.add(adapter.name)

    def _forget(self, name: str) -> None:
        present = self._pipeline.get_list_adapters().values()
        if any(name in names for names in present):
            self._pipeline.delete_adapters(name)
        if self._active is not None:
            self._activate(self._active)


def own_token(token: str, adapter: Adapter) -> str:
    """Return a token's name in a pipeline that holds several adapters."""
    return f"<{adapter.name}{token}"
