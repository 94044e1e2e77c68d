"""The V-V path against a slow transcription of METHODS' formulas, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, build_model
from millsight.pretraining.kead.features import evenly_spaced
from millsight.pretraining.kead.vv_attention import VVVisionTransformer

SIZE = 48
MakeWeights = Callable[..., LoadedWeights]


def slow_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Head by head, picture by picture, softmax written out."""
    width = q.shape[-1] // heads
    out = torch.zeros_like(v)
    for b in range(q.shape[0]):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            logits = q[b, :, part] @ k[b, :, part].T / width**0.5
            weight = torch.exp(logits - logits.max(dim=1, keepdim=True).values)
            out[b, :, part] = weight / weight.sum(dim=1, keepdim=True) @ v[b, :, part]
    return out


def transcription(
    visual: Any, pixels: Tensor, chosen: tuple[int, ...], *, official: bool, ordinary: bool
) -> list[Tensor]:
    x = visual._embeds(pixels)
    depth = len(visual.transformer.resblocks)
    ordinary_tokens, second_tokens = {0: x}, {}
    u = None
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        attention, width = block.attn, x.shape[-1]
        qkv = block.ln_1(x) @ attention.in_proj_weight.T + attention.in_proj_bias
        q, k, v = qkv[..., :width], qkv[..., width : 2 * width], qkv[..., 2 * width :]
        if number > depth // 4:
            u = x if u is None else u
            a = slow_attention(v, v, v, attention.num_heads)
            u = u + a @ attention.out_proj.weight.T + attention.out_proj.bias
            second_tokens[number] = u
        a = slow_attention(q, k, v, attention.num_heads)
        x = x + a @ attention.out_proj.weight.T + attention.out_proj.bias
        x = x + block.mlp(block.ln_2(x))
        ordinary_tokens[number] = x
    layers = []
    for number in chosen:
        tokens = ordinary_tokens[number]
        if number in second_tokens and not ordinary:
            tokens = second_tokens[depth if official else number]
        layers.append(visual.ln_post(tokens)[:, 1:] @ visual.proj)
    return layers


@pytest.fixture(scope="module")
def model(make_weights: MakeWeights) -> Any:
    return build_model(make_weights(blocks=12)).double()


@pytest.mark.parametrize("attention", ["vv", "qk"])
@pytest.mark.parametrize("compat", ["paper", "official"])
def test_layers_equal_the_transcription(model: Any, attention: Any, compat: Any) -> None:
    pixels = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    with torch.inference_mode():
        features = VVVisionTransformer(model.visual, attention=attention, compat=compat)(pixels)
        expected = transcription(
            model.visual,
            pixels,
            (3, 6, 9, 12),
            official=compat == "official",
            ordinary=attention == "qk",
        )
        class_token = model.encode_image(pixels)
    assert features.grids == ((6, 6),) * 4
    for ours, theirs in zip(features.layers, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    torch.testing.assert_close(features.class_token, class_token, rtol=0, atol=1e-11)


def test_official_layers_in_the_vv_part_are_one(model: Any) -> None:
    pixels = torch.randn(1, 3, SIZE, SIZE, dtype=torch.float64)
    with torch.inference_mode():
        official = VVVisionTransformer(model.visual, compat="official")(pixels).layers
        paper = VVVisionTransformer(model.visual)(pixels).layers
    assert torch.equal(official[1], official[3])
    assert torch.equal(official[2], official[3])
    assert torch.equal(official[0], paper[0])
    assert torch.equal(official[3], paper[3])
    assert not torch.allclose(paper[1], paper[3])


@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"ls_init_value": 0.1},
        {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True},
        {"block_type": "custom"},
    ],
)
def test_class_token_is_encode_image_s_in_float32(
    make_weights: MakeWeights, vision: dict[str, object]
) -> None:
    model: Any = build_model(make_weights(blocks=5, **vision))
    pixels = torch.randn(3, 3, SIZE, SIZE)
    with torch.inference_mode():
        features = VVVisionTransformer(model.visual)(pixels)
        expected = model.encode_image(pixels)
    # A few float32 roundings of values up to 4.
    torch.testing.assert_close(features.class_token, expected, rtol=0, atol=5e-6)
    assert len(features.layers) == 4


def test_pictures_of_a_batch_do_not_touch_each_other(model: Any) -> None:
    pixels = torch.randn(3, 3, SIZE, SIZE, dtype=torch.float64)
    tower = VVVisionTransformer(model.visual)
    with torch.inference_mode():
        together, alone = tower(pixels), tower(pixels[1:2])
    for many, one in zip(together.layers, alone.layers, strict=True):
        torch.testing.assert_close(many[1:2], one, rtol=0, atol=1e-11)


def test_layer_rule() -> None:
    assert evenly_spaced(12, 4) == (3, 6, 9, 12)
    assert evenly_spaced(24, 4) == (6, 12, 18, 24)
    assert evenly_spaced(32, 4) == (8, 16, 24, 32)
    assert evenly_spaced(10, 4)[-1] == 10
    assert evenly_spaced(2, 4) == (1, 2)


@pytest.mark.parametrize(
    "vision",
    [
        {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2},
        {"scaled_cosine_attn": True},
        {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "timm_proj": "linear"},
    ],
)
def test_other_towers_are_refused_by_name(vision: dict[str, object]) -> None:
    model: Any = open_clip.CLIP(
        32,
        {"image_size": SIZE, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8, **vision},
        {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1},
    )
    with pytest.raises(UserError, match=r"ViT-B-16-plus-240.*timm:"):
        VVVisionTransformer(model.visual)


@pytest.mark.parametrize("vision", [{}, {"pool_type": "avg"}])
@pytest.mark.parametrize("attention", ["vv", "qk"])
def test_both_arrangements_of_a_block_agree(
    make_weights: MakeWeights, vision: dict[str, object], attention: Any
) -> None:
    visual: Any = build_model(make_weights(**vision)).double().visual
    tower = VVVisionTransformer(visual, attention=attention)
    pixels = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    plain = tower(pixels)
    with torch.inference_mode():
        in_place = tower(pixels)
    for one, other in zip(
        (*plain.layers, plain.class_token), (*in_place.layers, in_place.class_token), strict=True
    ):
        torch.testing.assert_close(one.detach(), other, rtol=0, atol=1e-11)
