import pytest
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

from millsight.generators.diffusion.training.latents import LatentData
from millsight.generators.diffusion.training.selection import CheckpointSelection, References
from millsight.generators.quality.features import FeatureNet
from millsight.platform.checkpoints import AtomicCheckpointIO
from millsight.platform.executors.training import Training
from millsight.platform.training import Hardware, fit, trainer_options
from millsight.platform.weights import load_weights

LABELS = ("rolled-in_scale", "scratch")


class StopIn(Callback):
    """Ends the run in the middle of an epoch, as Ctrl-C would."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, *_):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def references(crops):
    loaded = load_weights("embedded:efficientnet-lite0")
    network = FeatureNet(loaded)
    found = {
        label: network([crop.picture for crop in crops if crop.label == label]) for label in LABELS
    }
    return References(loaded, found, {name: own[::-1] for name, own in found.items()}, grey=True)


def run(module, latents, selection, folder, *callbacks):
    data = LatentData(latents, LABELS, module.config)
    options = trainer_options(epochs=2, clip_norm=1.0, accumulate=1, precision="32")
    training = Training(module, data, (selection, *callbacks), options)
    fit(training, str(folder / "checkpoint.pt"), Hardware("cpu", progress_bar=False))


def test_a_run_that_was_cut_off_chooses_and_ends_as_an_uninterrupted_one(
    build, settings, latents, references, tmp_path
):
    logged, ends = {}, {}
    for name, stops in (("whole", [None]), ("cut", [6, None])):
        folder = tmp_path / name
        folder.mkdir()
        for stop in stops:
            selection = CheckpointSelection(
                references,
                str(folder / "best.safetensors"),
                lambda values, step, name=name: logged.setdefault((name, step), values),
            )
            module = build(settings)
            if stop is None:
                run(module, latents, selection, folder)
            else:
                with pytest.raises(KeyboardInterrupt):
                    run(module, latents, selection, folder, StopIn(stop))
                saved = AtomicCheckpointIO().load_checkpoint(folder / "checkpoint.pt")
                assert saved["global_step"] == 4
        ends[name] = module.state_dict(), load_file(folder / "best.safetensors"), selection
    (whole, best, kept), (cut, cut_best, cut_kept) = ends["whole"], ends["cut"]
    assert whole.keys() == cut.keys() == best.keys() == cut_best.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert all(torch.equal(best[name], cut_best[name]) for name in whole)
    assert kept.state_dict() == cut_kept.state_dict()
    assert logged["whole", 8] == logged["cut", 8]
    assert saved["state_dict"].keys() == whole.keys()
    assert kept.best_step in {4, 8}
    kept.restore(module)
    assert all(torch.equal(module.state_dict()[name], best[name]) for name in best)


def test_judged_pictures_are_grey_and_come_from_the_same_noise(
    build, settings, references, tmp_path
):
    module = build(settings)
    selection = CheckpointSelection(references, str(tmp_path / "best"), lambda *_: None)
    before = torch.random.get_rng_state()
    first, again = selection.generate(module), selection.generate(module)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.keys() == set(LABELS)
    for label in LABELS:
        assert len(first[label]) == settings.judged
        for picture, same in zip(first[label], again[label], strict=True):
            assert picture.shape == (64, 64, 3)
            assert (picture == same).all()
            assert (picture[..., 0] == picture[..., 2]).all()
    assert (first["scratch"][0] != first["scratch"][1]).any()
    assert (first["scratch"][0] != first["rolled-in_scale"][0]).any()
