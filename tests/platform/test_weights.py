import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from millsight.platform.errors import UserError
from millsight.platform.weights import LoadedWeights, build_model, hash_tensors, hub, load_weights

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 16,
            "patch_size": 8,
        },
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]},
}
COMMIT = "1" * 40
TIMM_NAME = "test_vit"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSIGHT_OFFLINE", "1")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    folder = tmp_path / "clip"
    folder.mkdir()
    model = open_clip.CLIP(**CLIP_CONFIG["model_cfg"])
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_file(half, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG))
    return folder


@pytest.fixture
def timm_model() -> torch.nn.Module:
    torch.manual_seed(2)
    return timm.create_model(TIMM_NAME, num_classes=3).eval()


def same_outputs(model: torch.nn.Module, other: torch.nn.Module, size: int) -> bool:
    picture = torch.rand(1, 3, size, size)
    with torch.no_grad():
        return torch.equal(model(picture), other(picture))


def test_an_open_clip_folder_loads_as_float32_with_its_activation(clip_folder: Path) -> None:
    loaded = load_weights(f"path:{clip_folder}")
    assert (loaded.library, loaded.image_size) == ("open_clip", (32, 32))
    assert (loaded.mean, loaded.std) == ((0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    model = build_model(loaded)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    oracle = open_clip.create_model(f"local-dir:{clip_folder}").eval()
    assert oracle.transformer.resblocks[0].mlp.gelu.__class__.__name__ == "QuickGELU"
    assert same_outputs(model.visual, oracle.visual, 32)
    assert model.visual.preprocess_cfg["mean"] == [0.4, 0.5, 0.6]


def test_tensors_are_shared_with_the_model(clip_folder: Path) -> None:
    loaded = load_weights(f"path:{clip_folder}")
    model = build_model(loaded)
    place = model.visual.proj.data_ptr()
    assert place == loaded.state_dict["visual.proj"].data_ptr()
    arrays = {name: tensor.numpy() for name, tensor in loaded.state_dict.items()}
    rebuilt = dataclasses.replace(
        loaded, state_dict={name: torch.from_numpy(array) for name, array in arrays.items()}
    )
    assert build_model(rebuilt).visual.proj.data_ptr() == place


def test_a_timm_folder_keeps_head_and_normalisation(
    tmp_path: Path, timm_model: torch.nn.Module
) -> None:
    save_for_hf(
        timm_model, tmp_path, safe_serialization=True, data_config={"mean": (0.1, 0.2, 0.3)}
    )
    loaded = load_weights(f"path:{tmp_path}")
    assert (loaded.library, loaded.architecture) == ("timm", TIMM_NAME)
    assert loaded.mean == (0.1, 0.2, 0.3)
    model = build_model(loaded)
    assert same_outputs(model, timm_model, 160)


def test_the_hash_is_the_tensors_not_the_file(tmp_path: Path) -> None:
    state = timm.create_model(TIMM_NAME).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pt")
    wrapped = {f"module.{name}": state[name] for name in reversed(state)}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "c.pth")
    hashes = [
        load_weights(f"path:{tmp_path / name}#timm:{TIMM_NAME}").sha256
        for name in ("a.safetensors", "b.pt", "c.pth")
    ]
    assert set(hashes) == {hash_tensors(state)}
    name = next(iter(state))
    for other in (
        {**state, name: state[name] + 1e-6},
        {**state, name: state[name].double()},
        {**state, name: state[name].reshape(-1)},
        {("renamed" if key == name else key): value for key, value in state.items()},
    ):
        assert hash_tensors(other) != hashes[0]


def test_the_fingerprint_also_sees_the_config(clip_folder: Path) -> None:
    before = load_weights(f"path:{clip_folder}")
    config = {**CLIP_CONFIG, "model_cfg": {**CLIP_CONFIG["model_cfg"], "quick_gelu": False}}
    (clip_folder / "open_clip_config.json").write_text(json.dumps(config))
    after = load_weights(f"path:{clip_folder}")
    assert after.sha256 == before.sha256
    assert after.fingerprint != before.fingerprint


def test_the_embedded_imagenet_network_is_the_one_trained(steel: torch.Tensor) -> None:
    loaded = load_weights("embedded:efficientnet-lite0")
    assert loaded.mean == pytest.approx((127 / 255,) * 3)
    assert loaded.std == pytest.approx((128 / 255,) * 3)
    assert loaded.architecture == "tf_efficientnet_lite0"
    with torch.no_grad():
        logits = build_model(loaded)(steel)
    assert logits.shape == (1, 1000)
    # Trained weights in their right places are sure of something; shuffled ones are not.
    assert logits.softmax(1).max() > 0.2


@pytest.fixture
def steel() -> torch.Tensor:
    return torch.linspace(0, 40, 224).sin().expand(1, 3, 224, 224)


def test_embedded_names_come_from_entry_points(
    tmp_path: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "foreign_room"
    package.mkdir()
    (package / "__init__.py").touch()
    clip_folder.rename(package / "weights")
    metadata = tmp_path / "foreign_room-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-room\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[millsight.weights]\ntiny = foreign_room:weights\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_weights("embedded:tiny").architecture == "tiny"
    with pytest.raises(UserError, match=r"did you mean .*tiny"):
        load_weights("embedded:tinny")


def test_random_weights_follow_their_seed() -> None:
    def sha(seed: int) -> str:
        return load_weights(f"random:timm:{TIMM_NAME}?seed={seed}").sha256

    before = torch.random.get_rng_state()
    assert sha(0) == sha(0) != sha(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    loaded = load_weights("random:open_clip:ViT-S-32-alt?seed=0")
    assert (loaded.library, build_model(loaded).training) == ("open_clip", False)


def test_weights_of_another_network_are_listed(tmp_path: Path) -> None:
    state = timm.create_model(TIMM_NAME, num_classes=7).state_dict()
    state["surplus"] = torch.zeros(1)
    del state["norm.bias"]
    save_file(state, tmp_path / "w.safetensors")
    loaded = load_weights(f"path:{tmp_path / 'w.safetensors'}#timm:{TIMM_NAME}")
    with pytest.raises(UserError) as caught:
        build_model(loaded)
    message = str(caught.value)
    assert "1 missing: norm.bias" in message
    assert "1 unexpected: surplus" in message
    assert "head.weight (7, 64) instead of (1000, 64)" in message


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo ran > evil.txt",)


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, "evil.pt")
    with pytest.raises(UserError, match="without running code"):
        load_weights(f"path:evil.pt#timm:{TIMM_NAME}")
    assert not Path("evil.txt").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.ckpt"])
def test_damaged_and_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match=name):
        load_weights(f"path:{tmp_path / name}#timm:{TIMM_NAME}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet50", "the forms are"),
        ("zoo:resnet50", "no kind of source"),
        ("timm:resnet5O", "did you mean .*resnet50"),
        ("timm:resnet50.a1_in2k", "did you mean .*a1_in1k"),
        ("timm:test_vit9", "did you mean test_vit"),
        ("open_clip:ViT-B-32/laion2b", "did you mean .*ViT-B-32/laion2b_s34b_b79k|laion2b_e16"),
        ("random:open_clip:ViT-B-33", "did you mean .*ViT-B-32"),
        ("random:timm:resnet18?seed=x", "random:timm:NAME"),
        ("hf:org/repo", "40 hex digits"),
        ("hf:org/repo@main", "commits/main"),
        ("path:nowhere", "does not exist"),
        ("path:.", "holds no weights"),
    ],
)
def test_wrong_sources_are_answered(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_weights(source)


@pytest.mark.parametrize(
    "source",
    ["timm:resnet50.a1_in1k", "open_clip:ViT-B-32/openai", f"hf:no/such@{'0' * 40}"],
)
def test_offline_names_the_ways_out_at_once(source: str) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_weights(source)
    assert time.monotonic() - begun < 2
    for word in ("MILLSIGHT_OFFLINE", "hf download", "path:DIR", "cache", "embedded:"):
        assert word in str(caught.value)


def test_a_missing_route_is_noticed_in_seconds(
    monkeypatch: pytest.MonkeyPatch, hub_cache: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    begun = time.monotonic()
    with pytest.raises(UserError, match="cannot be downloaded") as caught:
        load_weights("timm:resnet50.a1_in1k", offline=False)
    assert time.monotonic() - begun < hub.CONNECT_SECONDS + 2
    assert str(hub_cache) in str(caught.value)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache


def cache_repository(cache: Path, repository: str) -> Path:
    """Make the folder in which the hub's client keeps a repository's main branch."""
    root = cache / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def test_cached_hub_weights_need_no_network(hub_cache: Path, clip_folder: Path) -> None:
    expected = load_weights(f"path:{clip_folder}")
    folder = cache_repository(hub_cache, "org/repo")
    for file in clip_folder.iterdir():
        file.rename(folder / file.name)
    loaded = load_weights(f"hf:org/repo@{COMMIT}")
    assert (loaded.sha256, loaded.mean) == (expected.sha256, expected.mean)
    with pytest.raises(UserError, match="cannot be downloaded"):
        load_weights(f"hf:org/repo@{'2' * 40}")


def test_cached_timm_weights(hub_cache: Path) -> None:
    name = f"{TIMM_NAME}.r160_in1k"
    state = timm.create_model(TIMM_NAME).state_dict()
    save_file(state, cache_repository(hub_cache, f"timm/{name}") / "model.safetensors")
    loaded = load_weights(f"timm:{name}")
    assert loaded.sha256 == hash_tensors(state)
    assert (loaded.architecture, loaded.image_size) == (TIMM_NAME, (160, 160))
    build_model(loaded)


def test_cached_open_clip_weights_take_the_tags_activation(
    tmp_path: Path, hub_cache: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {k: v for k, v in CLIP_CONFIG["model_cfg"].items() if k != "quick_gelu"}
    (tmp_path / "tiny-clip.json").write_text(json.dumps(plain))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    tag = {"hf_hub": "org/tiny/", "mean": (0.1, 0.2, 0.3), "std": (1, 1, 1), "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-clip", {"ours": tag})
    weights = clip_folder / "open_clip_model.safetensors"
    weights.rename(cache_repository(hub_cache, "org/tiny") / weights.name)
    loaded = load_weights("open_clip:tiny-clip/ours")
    assert loaded.mean == (0.1, 0.2, 0.3)
    model = build_model(loaded)
    assert model.transformer.resblocks[0].mlp.gelu.__class__.__name__ == "QuickGELU"


def test_importing_weights_is_light() -> None:
    script = (
        "import sys, millsight.platform.weights\n"
        "print(sorted({'torch', 'timm', 'open_clip', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    assert LoadedWeights.__dataclass_params__.frozen
