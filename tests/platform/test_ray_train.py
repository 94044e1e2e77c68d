from __future__ import annotations

import pytest
import torch
from lightning import Trainer

from millsight.platform.checkpoints import AtomicCheckpointIO
from millsight.platform.errors import UserError
from millsight.platform.executors.training import TrainingExecutionConfig

# Ray gives its workers the lowest priority, so that they starve beside other work.
PATIENCE = 900
RAY = TrainingExecutionConfig("ray")


@pytest.fixture(scope="module")
def tiny(ray_session):
    import tiny_training
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(tiny_training)
    return tiny_training


@pytest.fixture(scope="module")
def in_process(tiny, tmp_path_factory):
    job = tiny.training(tmp_path_factory.mktemp("local") / "diary")
    trainer = Trainer(
        **job.options,
        accelerator="cpu",
        callbacks=list(job.callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(job.module, job.data)
    return job.module.state_dict()


def on_ray(job, folder, execution=RAY):
    from millsight.platform.executors.ray_train import train_on_ray

    checkpoint = folder / "checkpoint.pt"
    epochs = train_on_ray(
        job, execution, name="tiny-0123", directory=str(folder / "ray"), checkpoint=str(checkpoint)
    )
    return epochs, AtomicCheckpointIO().load_checkpoint(checkpoint)


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(torch.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_one_worker_ends_as_this_process_and_a_finished_run_does_nothing(
    tiny, in_process, tmp_path
):
    epochs, saved = on_ray(tiny.training(tmp_path / "diary"), tmp_path)
    assert_equal(saved["state_dict"], in_process)
    assert [(row["epoch"], row["step"]) for row in epochs] == [(0, 4), (1, 8), (2, 12), (3, 16)]
    assert epochs[-1]["train/loss"] < epochs[0]["train/loss"]
    again, same = on_ray(tiny.training(tmp_path / "diary"), tmp_path)
    assert again == epochs
    assert_equal(same["state_dict"], in_process)
    assert (tmp_path / "diary").read_text() == "0 1 2 3 "


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_a_killed_worker_goes_on_after_the_last_whole_epoch(tiny, in_process, tmp_path):
    epochs, saved = on_ray(tiny.training(tmp_path / "diary", kill_in=2), tmp_path)
    assert (tmp_path / "diary.killed").exists()
    begun = (tmp_path / "diary").read_text().split()
    # A crash right after an epoch may cost that epoch, never the run.
    assert begun in (["0", "1", "2", "2", "3"], ["0", "1", "2", "1", "2", "3"])
    assert_equal(saved["state_dict"], in_process)
    assert [row["epoch"] for row in epochs] == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_two_workers_share_an_epoch(tiny, tmp_path):
    wide = TrainingExecutionConfig("ray", workers=2)
    epochs, _ = on_ray(tiny.training(tmp_path / "diary"), tmp_path, wide)
    assert [row["step"] for row in epochs] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 2}, r"add --execution\.executor ray"),
        ({"executor": "ray", "workers": 0}, r"--execution\.workers"),
        ({"executor": "ray", "gpus_per_worker": 2}, r"--execution\.gpus_per_worker 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        TrainingExecutionConfig(**settings).check()
