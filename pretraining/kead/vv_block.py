"""One transformer block with both paths of KeAD, in two arrangements of the same arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Runner = Callable[[Any, Tensor, Tensor | None, bool], Tensor]
"""Runs ``(block, stream, second, class_only)``.

``stream`` is the ordinary path before the block, (B, L, W). ``second`` is the V-V stream, (B, L, W)
or ``None``; a_l is added to it in place. With ``class_only``, only the class token is carried on
along the ordinary path. Returns the ordinary path after the block, (B, L, W) or (B, 1, W).
"""


def choose_runner(blocks: Sequence[Any], stream: Tensor) -> Runner:
    """Choose the arrangement: in place where nothing forbids it, else plain.

    Autograd needs the values that in-place work overwrites, autocast mixes precisions in one sum,
    and LayerScale stands between a projection and the sum.
    """
    mixed = torch.is_autocast_enabled(stream.device.type)
    scaled = any(not isinstance(block.ls_1, nn.Identity) for block in blocks)
    normed = any(
        not isinstance(getattr(block.mlp, "ln", nn.Identity()), nn.Identity) for block in blocks
    )
    if torch.is_grad_enabled() or mixed or scaled or normed:
        return run_plain
    return InPlaceRunner(blocks[0], stream)


def run_plain(block: Any, stream: Tensor, second: Tensor | None, class_only: bool) -> Tensor:
    """Run one block as it is written in the papers; see ``Runner``."""
    attention = block.attn
    normed = block.ln_1(stream)
    qkv = functional.linear(normed, attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = (_split_heads(part, attention.num_heads) for part in qkv.chunk(3, dim=-1))
    if second is not None:
        second += block.ls_1(attention.out_proj(_attend(value, value, value)))
    if class_only:
        query, stream = query[:, :, :1], stream[:, :1]
    stream = stream + block.ls_1(attention.out_proj(_attend(query, key, value)))
    plain: Tensor = stream + block.ls_2(block.mlp(block.ln_2(stream)))
    return plain


class InPlaceRunner:
    """Runs blocks without fresh memory for their large intermediates; see ``Runner``.

    On a CPU the first touch of fresh pages costs several percent of a block's time: that is what
    the V-V path is paid with, besides the last block.

    Args:
        block: Any of the blocks, for the sizes.
        stream: (B, L, W), the ordinary path before the first block; overwritten by the run.
    """

    def __init__(self, block: Any, stream: Tensor) -> None:
        rows, width = stream.shape[0] * stream.shape[1], stream.shape[2]
        self._qkv = stream.new_empty(rows, 3 * width)
        self._hidden = stream.new_empty(rows, block.mlp.c_fc.out_features)

    def __call__(
        self, block: Any, stream: Tensor, second: Tensor | None, class_only: bool
    ) -> Tensor:
        """Run one block; see ``Runner``."""
        attention, (batch, length, width) = block.attn, stream.shape
        normed = block.ln_1(stream)
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        first = 2 * width if class_only else 0
        projected = _linear(
            normed,
            weight[first:],
            None if bias is None else bias[first:],
            self._out(3 * width - first),
        )
        parts = projected.view(batch, length, -1).chunk(projected.shape[1] // width, dim=-1)
        value = _split_heads(parts[-1], attention.num_heads)
        if second is not None:
            _add_linear(second, _attend(value, value, value), attention.out_proj)
        if class_only:
            stream = stream[:, :1].clone()
            attended = _attend_from_class(attention, normed, value)
        else:
            query, key = (_split_heads(part, attention.num_heads) for part in parts[:2])
            attended = _attend(query, key, value)
        _add_linear(stream, attended, attention.out_proj)
        self._feed_forward(block, stream)
        return stream

    def _out(self, columns: int) -> Tensor:
        rows = self._qkv.shape[0]
        return self._qkv.view(-1)[: rows * columns].view(rows, columns)

    def _feed_forward(self, block: Any, stream: Tensor) -> None:
        mlp, normed = block.mlp, block.ln_2(stream)
        rows = stream.shape[0] * stream.shape[1]
        hidden = _linear(normed, mlp.c_fc.weight, mlp.c_fc.bias, self._hidden[:rows])
        if isinstance(mlp.gelu, nn.GELU):
            torch.ops.aten.gelu_(hidden, approximate=mlp.gelu.approximate)
        else:
            hidden = mlp.gelu(hidden)
        _add_linear(stream, hidden, mlp.c_proj)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend in every head, (B, heads, L, d) each; returns (B, L, W)."""
    attended = functional.scaled_dot_product_attention(query, key, value)
    return attended.transpose(1, 2).flatten(2)


def _attend_from_class(attention: Any, normed: Tensor, value: Tensor) -> Tensor:
    """Attend from the class token alone, (B, 1, W), without projecting any key.

    q . (K x + b) = (K^T q) . x + q . b, and the last term, equal for all tokens, leaves the softmax
    as it is.
    """
    heads, width = attention.num_heads, normed.shape[-1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = functional.linear(normed[:, 0], weight[:width], None if bias is None else bias[:width])
    keys = weight[width : 2 * width].view(heads, -1, width)
    asked = torch.einsum("bhd,hdw->bhw", query.view(len(query), heads, -1), keys)
    logits = asked @ normed.mT / (width // heads) ** 0.5
    attended: Tensor = logits.softmax(dim=-1)[:, :, None] @ value
    return attended.transpose(1, 2).flatten(2)


def _split_heads(tokens: Tensor, heads: int) -> Tensor:
    batch, length, width = tokens.shape
    return tokens.view(batch, length, heads, width // heads).transpose(1, 2)


def _linear(tokens: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    flat = tokens.flatten(0, -2)
    if bias is None:
        return torch.mm(flat, weight.T, out=out)
    return torch.addmm(bias, flat, weight.T, out=out)


def _add_linear(stream: Tensor, tokens: Tensor, linear: nn.Linear) -> None:
    stream += linear.bias
    stream.view(-1, stream.shape[-1]).addmm_(tokens.flatten(0, -2), linear.weight.T)
