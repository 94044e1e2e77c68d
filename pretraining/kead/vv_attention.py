"""The V-V attention path of KeAD (arXiv 2509.18919, section 4.1.1, after CLIP Surgery).

Beside the ordinary path of a CLIP vision transformer runs a second one, from a quarter of the depth
on, that gathers what is alike instead of what is asked for::

    a_l = out_proj(softmax(V V^T / sqrt(d)) V)      V from the ordinary path's ln_1, per head
    u_l = u_(l-1) + a_l                             u_(depth // 4) is the ordinary stream

There is no feed-forward part. Tensor shapes: B pictures, L = N + 1 tokens (class token first), N
patches, W width, D embedding.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from millsight.platform.errors import UserError
from millsight.pretraining.kead.features import Grid, PatchFeatures, evenly_spaced
from millsight.pretraining.kead.vv_block import choose_runner

Attention = Literal["vv", "qk"]
Compat = Literal["paper", "official"]

SUPPORTED = (
    "open_clip's own VisionTransformer with class-token or average pooling, for example "
    "ViT-B-16-plus-240, ViT-L-14-336 or ViT-H-14-378-quickgelu"
)


class VVVisionTransformer(nn.Module):
    """An open_clip vision tower that also gives dense, text-aligned patch tokens in one pass.

    The class token is the one that ``encode_image`` gives. The last block's ordinary path is
    computed for that token alone, which pays for most of the second path.

    Args:
        visual: An open_clip ``VisionTransformer``; held by reference, its weights are not copied.
        layers: How many evenly spaced blocks, ending at the last, give patch tokens.
        attention: ``"vv"``, or ``"qk"`` for the ordinary tokens of the same blocks (ablation).
        compat: ``"official"`` keeps a quirk of the released code: the V-V stream is stored by
            reference and added to in place, so every chosen layer inside the V-V part holds the
            stream after the last block. A chosen layer at a quarter of the depth holds ordinary
            tokens in both.

    Raises:
        UserError: If ``visual`` is of a kind that has no V-V path.
    """

    # Without this, type checkers take a Module's attributes for tensors.
    visual: Any

    def __init__(
        self,
        visual: nn.Module,
        *,
        layers: int = 4,
        attention: Attention = "vv",
        compat: Compat = "paper",
    ) -> None:
        super().__init__()
        require_supported(visual)
        self.visual = visual
        depth = len(self.visual.transformer.resblocks)
        self.layers = evenly_spaced(depth, layers)
        self.start = depth // 4 if attention == "vv" else depth
        self.by_reference = compat == "official"

    @property
    def grid(self) -> Grid:
        """Patch grid, ``(height, width)``."""
        height, width = self.visual.grid_size
        return int(height), int(width)

    def forward(self, pixels: Tensor) -> PatchFeatures:
        """Encode normalised pictures.

        Args:
            pixels: float (B, 3, H, W), H and W the tower's image size.

        Returns:
            Patch tokens (B, N, D) of the chosen layers through ln_post and the visual projection,
            and the class embedding (B, D), both not normalised.
        """
        blocks = self.visual.transformer.resblocks
        stream: Tensor = self.visual._embeds(pixels)
        second: Tensor | None = None
        run = choose_runner(blocks, stream)
        projected: dict[int, Tensor] = {}
        for number, block in enumerate(blocks, start=1):
            with_vv, last = number > self.start, number == len(blocks)
            if with_vv and second is None:
                second = stream.clone()
            elif second is not None and torch.is_grad_enabled():
                # Training: the last projection's input must outlive what the block adds to it.
                second = second.clone()
            class_only = with_vv and last and self.visual.pool_type == "tok"
            stream = run(block, stream, second if with_vv else None, class_only)
            by_reference = self.by_reference and with_vv and not last
            if number in self.layers and not by_reference:
                projected[number] = self._project((stream if second is None else second)[:, 1:])
        layers = tuple(projected.get(number, projected[len(blocks)]) for number in self.layers)
        return PatchFeatures(layers, (self.grid,) * len(layers), self._pool(stream))

    def _project(self, tokens: Tensor) -> Tensor:
        tokens = self.visual.ln_post(tokens)
        return tokens if self.visual.proj is None else tokens @ self.visual.proj

    def _pool(self, stream: Tensor) -> Tensor:
        pooled: Tensor = self.visual._pool(stream)[0]
        return pooled if self.visual.proj is None else pooled @ self.visual.proj


def require_supported(visual: nn.Module) -> None:
    """Refuse a vision tower on which the V-V path is not defined.

    Raises:
        UserError: Naming what was found and what is supported.
    """
    found = type(visual).__name__
    transformer = getattr(visual, "transformer", None)
    if found != "VisionTransformer" or transformer is None:
        problem = f"its vision tower is a {found}"
    elif getattr(visual, "attn_pool", None) is not None:
        problem = "it pools with attention (CoCa)"
    elif not all(_is_plain(block) for block in transformer.resblocks):
        problem = (
            "its blocks change the attention (qk_norm, scaled cosine, head scale or inner norm)"
        )
    else:
        return
    raise UserError(
        f"--encoder: KeAD needs {SUPPORTED}; this model is another kind: {problem}. Name a "
        "supported open_clip model, or score with a timm: encoder (memory bank only)."
    )


def _is_plain(block: Any) -> bool:
    attention = block.attn
    if isinstance(attention, nn.MultiheadAttention):
        return attention.in_proj_weight is not None
    parts = (attention.ln_q, attention.ln_k, attention.ln_inner, block.ln_attn)
    plain = attention.logit_scale is None and attention.head_scale is None
    return plain and all(isinstance(part, nn.Identity) for part in parts)
