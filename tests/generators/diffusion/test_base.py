import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from millsight.generators.diffusion.base import open_base
from millsight.generators.diffusion.licenses import read_license
from millsight.generators.diffusion.pipelines import load_pipeline
from millsight.platform.errors import UserError

REVISION = "0" * 40


@pytest.fixture
def copied(tiny_sd, tmp_path):
    """A copy of the tiny pipeline to spoil."""
    return shutil.copytree(tiny_sd, tmp_path / "copy")


def change_json(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_recognises_a_text_to_image_model(tiny_sd):
    base = open_base(str(tiny_sd))
    assert (base.family, base.in_channels, base.inpainting) == ("sd", 4, False)
    assert (base.side, base.prediction_type, base.variant) == (64, "epsilon", "")
    assert base.license.name == "apache-2.0"
    assert base.license.commercial
    assert open_base(f"path:{tiny_sd}").fingerprint == base.fingerprint


def test_recognises_an_inpainting_model(tiny_sd, tiny_sd_inpaint):
    base = open_base(str(tiny_sd_inpaint))
    assert base.inpainting
    assert type(load_pipeline(base)).__name__ == "StableDiffusionInpaintPipeline"
    assert base.sha256 != open_base(str(tiny_sd)).sha256


def test_reads_the_prediction_type_from_the_scheduler(copied):
    change_json(copied / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    assert open_base(str(copied)).prediction_type == "v_prediction"


def test_recognises_two_text_encoders(copied):
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(copied / part, copied / f"{part}_2")
    change_json(
        copied / "model_index.json",
        text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
        tokenizer_2=["transformers", "CLIPTokenizer"],
    )
    assert open_base(str(copied)).family == "sdxl"


def test_the_fingerprint_is_that_of_the_weights(copied):
    before = open_base(str(copied))
    file = copied / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    first = next(iter(tensors))
    tensors[first] = tensors[first] + 1
    save_file(tensors, file, metadata={"format": "pt"})
    after = open_base(str(copied))
    assert after.sha256 != before.sha256
    assert after.fingerprint != before.fingerprint


def test_a_config_changes_the_fingerprint_alone(copied):
    before = open_base(str(copied))
    change_json(copied / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    after = open_base(str(copied))
    assert after.sha256 == before.sha256
    assert after.fingerprint != before.fingerprint


def test_half_precision_files_alone_are_found(copied):
    for file in copied.rglob("*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    base = open_base(str(copied))
    assert base.variant == ".fp16"
    assert load_pipeline(base).unet.dtype == torch.float32


def test_pickles_are_refused(copied):
    file = copied / "unet/diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(UserError, match=r"unet/ has no .*safetensors, only .*\.bin, a pickle"):
        open_base(str(copied))


def test_foreign_code_is_refused(copied):
    change_json(copied / "model_index.json", unet=["my_module", "MyUNet"])
    with pytest.raises(UserError, match="its unet is MyUNet"):
        open_base(str(copied))


def test_a_depth_model_is_refused(copied):
    change_json(copied / "unet/config.json", in_channels=5)
    with pytest.raises(UserError, match="takes 5 channels"):
        open_base(str(copied))


def test_weights_of_another_shape_are_refused(copied):
    change_json(copied / "unet/config.json", block_out_channels=[16, 32])
    with pytest.raises(UserError, match="diffusers cannot load it"):
        load_pipeline(open_base(str(copied)))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "no such folder"),
        ("owner/name@main", "40 hex digits"),
        ("embedded:huge", "embedded are"),
        (f"owner/name@{REVISION}", "cannot be downloaded"),
    ],
)
def test_sources_that_give_nothing(source, message):
    with pytest.raises(UserError, match=message):
        open_base(source, offline=True)


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"model_index\.json"):
        open_base(str(tmp_path))


def test_non_commercial_models_need_the_flag(copied):
    (copied / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.raises(UserError, match="allow_non_commercial"):
        open_base(str(copied))
    base = open_base(str(copied), allow_non_commercial=True)
    assert base.to_dict()["license"] == "cc-by-nc-4.0"


@pytest.mark.parametrize(
    ("files", "name", "commercial"),
    [
        ({}, "unknown", None),
        ({"README.md": "no front matter"}, "unknown", None),
        ({"README.md": "---\nlicense: creativeml-openrail-m\n---"}, "creativeml-openrail-m", True),
        ({"README.md": "---\nlicense: other\nlicense_name: sai-nc-community\n---"},
         "sai-nc-community", False),
        ({"LICENSE": "\nMIT License\n\nCopyright"}, "MIT License", True),
        ({"LICENSE": "Terms\nAny commercial or non-commercial use."}, "Terms", True),
        ({"LICENSE": "X\nYou may use it solely for non-commercial purposes."}, "X", False),
        ({"LICENSE.md": "Creative Commons Attribution-NonCommercial 4.0"},
         "Creative Commons Attribution-NonCommercial 4.0", False),
    ],
)  # fmt: skip
def test_licences(tmp_path, files, name, commercial):
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    found = read_license(tmp_path)
    assert (found.name, found.commercial) == (name, commercial)


def test_a_broken_card_is_named(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(UserError, match="front matter"):
        read_license(tmp_path)
