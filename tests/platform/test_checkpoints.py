"""A checkpoint's weights and its state always belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from millsight.platform import storage
from millsight.platform.checkpoints import AtomicCheckpointIO

IO = AtomicCheckpointIO()


def checkpoint(step: int) -> dict[str, Any]:
    shared = torch.full((2, 3), float(step))
    weights = {"a": shared, "b": shared, "half": shared.T.half(), "count": torch.tensor(step)}
    return {"global_step": step, "state_dict": weights, "optimizer_states": [{"lr": 0.1 * step}]}


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoint.weights").iterdir())


def test_both_parts_come_back_and_the_weights_are_safetensors(tmp_path: Path) -> None:
    file, before = tmp_path / "checkpoint.pt", checkpoint(7)
    IO.save_checkpoint(before, file)
    found = IO.load_checkpoint(file)
    assert found["optimizer_states"] == before["optimizer_states"]
    written = load_file(tmp_path / "checkpoint.weights" / "7.safetensors")
    for name, tensor in before["state_dict"].items():
        for other in (found["state_dict"][name], written[name]):
            assert torch.equal(other, tensor)
            assert other.dtype == tensor.dtype
    assert isinstance(before["state_dict"], dict), "what is saved is left as it was"
    IO.save_checkpoint(checkpoint(9), file)
    assert steps(tmp_path) == ["9.safetensors"]
    IO.copy(file, tmp_path / "other" / "checkpoint.pt")
    assert IO.load_checkpoint(tmp_path / "other" / "checkpoint.pt")["global_step"] == 9


def test_a_run_killed_between_the_parts_has_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "checkpoint.pt"
    IO.save_checkpoint(checkpoint(7), file)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "writing", killed)
        patch.setattr(storage, "write_bytes", lambda path, data: Path(path).write_bytes(data))
        with pytest.raises(KeyboardInterrupt):
            IO.save_checkpoint(checkpoint(9), file)
    assert steps(tmp_path) == ["7.safetensors", "9.safetensors"]
    found = IO.load_checkpoint(file)
    assert found["global_step"] == 7
    assert found["state_dict"]["a"].eq(7).all()
    IO.save_checkpoint(checkpoint(9), file)
    assert steps(tmp_path) == ["9.safetensors"]
