import numpy as np
import pytest

from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.diffusion.engine import DiffusionEngine
from millsight.generators.masks.labels import LabelConfig
from millsight.generators.masks.morphology import dilate, reach
from millsight.generators.masks.sources import real_mask, real_picture
from millsight.generators.samples import Materials, Request, SampleSpec
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError


def spec_of(mode, **changes):
    settings = {"count": 5, "strength": 0.7, "guidance": 2.0, "steps": 4} | changes
    return SampleSpec("scratch", mode=mode, **settings)


def requests_of(mode, count=5, **changes):
    return [Request(spec_of(mode, **changes), index) for index in range(count)]


def engine_of(sampler, materials, **changes):
    # The autoencoder is random.
    config = DiffusionConfig(**{"batch_size": 4, "least_psnr": 0.0} | changes)
    return DiffusionEngine(sampler, materials, config)


@pytest.fixture(scope="module", params=["sampler", "inpainting_sampler"])
def inpainted(request, materials):
    sampler = request.getfixturevalue(request.param)
    return engine_of(sampler, materials).generate(requests_of("inpaint"))


def test_outside_of_the_mask_no_bit_of_the_plate_differs(inpainted):
    for made in inpainted:
        assert np.array_equal(made.picture[~made.mask], made.plate[~made.mask])


def test_the_plate_changes_in_the_request_alone(inpainted):
    assert sum(made.mask.any() for made in inpainted) >= 4
    for made in inpainted:
        size = made.requested.shape
        around = dilate(made.requested, reach(LabelConfig().dilation, size))
        assert not (made.mask & ~around).any()
        assert made.picture.dtype == np.uint8
        assert made.picture.shape == made.plate.shape == (80, 112, 3)


def test_boxes_hold_the_mask(inpainted):
    for made in inpainted:
        covered = np.zeros_like(made.mask)
        for x0, y0, x1, y1 in made.boxes:
            covered[int(y0) : int(y1), int(x0) : int(x1)] = True
        assert not (made.mask & ~covered).any()


@pytest.mark.parametrize("mode", ["variation", "inpaint", "text"])
def test_any_worker_redoes_any_sample(sampler, materials, mode):
    requests = requests_of(mode)
    together = engine_of(sampler, materials).generate(requests)
    for request, made in zip(requests, together, strict=True):
        assert made.request == request
        [again] = engine_of(sampler, materials).generate([request])
        assert again.picture.tobytes() == made.picture.tobytes()
        assert again.mask.tobytes() == made.mask.tobytes()
        assert again.boxes == made.boxes
        assert again.provenance == made.provenance


@pytest.mark.parametrize("mode", ["variation", "inpaint", "text"])
def test_another_attempt_is_another_picture(sampler, materials, mode):
    spec = spec_of(mode)
    pictures = engine_of(sampler, materials).generate(
        [Request(spec, 0), Request(spec, 0, attempt=1), Request(spec, 1)]
    )
    assert len({made.picture.tobytes() for made in pictures}) == 3


@pytest.mark.parametrize("mode", ["variation", "inpaint", "text"])
def test_grey_stays_grey_and_colour_stays_colour(sampler, materials, coloured, mode):
    [grey] = engine_of(sampler, materials).generate(requests_of(mode, 1))
    assert np.ptp(grey.picture, axis=2).max() == 0
    [colour] = engine_of(sampler, coloured).generate(requests_of(mode, 1))
    assert np.ptp(colour.picture, axis=2).max() > 0


def test_a_variation_keeps_the_real_mask_and_the_picture_around(sampler, materials):
    for made in engine_of(sampler, materials, context=0.0).generate(requests_of("variation")):
        source = next(s for s in materials.defects if s.id == made.provenance["source"]["id"])
        mask = real_mask(source, "scratch")
        assert np.array_equal(made.mask, mask)
        assert made.plate is None
        inside = np.zeros_like(mask)
        for x, y, side in made.provenance["squares"]:
            inside[y : y + side, x : x + side] = True
        real = real_picture(source)
        assert np.array_equal(made.picture[~inside], real[~inside])
        assert (made.picture[mask] != real[mask]).mean() > 0.5
        assert len(made.boxes) >= 1


def test_a_variation_without_any_mask_is_of_the_whole_picture(sampler, materials):
    bare = Materials((), (Sample("x", materials.defects[0].uri, "steel", label="scratch"),))
    [made] = engine_of(sampler, bare).generate(requests_of("variation", 1))
    assert not made.mask.any()
    assert made.boxes == ()
    real = real_picture(bare.defects[0])
    [(x, y, side)] = made.provenance["squares"]
    assert (side, y) == (80, 0)
    assert (made.picture != real).any(axis=2)[:, x + 8 : x + 72].mean() > 0.9


def test_boxes_alone_stay_as_they_are(sampler, materials):
    box = (20.0, 10.0, 60.0, 50.0)
    boxed = Sample("x", materials.defects[0].uri, "steel", boxes=(box,), box_labels=("scratch",))
    [made] = engine_of(sampler, Materials((), (boxed,))).generate(requests_of("variation", 1))
    assert made.boxes == (box,)


def test_masks_are_drawn_too(sampler, materials):
    for made in engine_of(sampler, materials).generate(requests_of("inpaint", masks="procedural")):
        assert made.requested.any()
        assert "source" not in made.provenance
        assert np.array_equal(made.picture[~made.mask], made.plate[~made.mask])


def test_text_has_a_picture_but_no_place(sampler):
    [made] = engine_of(sampler, Materials()).generate(requests_of("text", 1))
    assert made.picture.shape == (64, 64, 3)
    assert not made.mask.any()
    assert made.boxes == ()


def test_small_defects_are_cropped_and_long_ones_in_a_row(sampler, materials):
    [made] = engine_of(sampler, materials).generate(requests_of("variation", 1))
    assert all(side <= 80 for _, _, side in made.provenance["squares"])
    [tight] = engine_of(sampler, materials, crops=1).generate(requests_of("variation", 1))
    assert len(tight.provenance["squares"]) == 1


def test_provenance_is_enough_to_redo_it(sampler, materials):
    [made] = engine_of(sampler, materials).generate(requests_of("inpaint", 1))
    found = made.provenance
    assert found["engine"] == "diffusion"
    assert found["base"]["fingerprint"] == sampler.base.fingerprint
    assert found["base"]["license"] == "apache-2.0"
    assert found["plate"]["id"] in {plate.id for plate in materials.plates}
    assert found["prompt"] == "a photo of a metal surface with scratch"
    assert found["seed"] == made.request.seed


@pytest.mark.parametrize("mode", ["variation", "inpaint"])
def test_no_materials_no_samples(sampler, mode):
    with pytest.raises(UserError, match="training split has no"):
        engine_of(sampler, Materials()).generate(requests_of(mode, 1))


def test_a_poor_autoencoder_is_refused_with_advice(sampler, materials):
    engine = engine_of(sampler, materials, least_psnr=22.0)
    with pytest.raises(UserError, match=r"returns 3 crops of scratch with \d+\.\d dB PSNR.*vae"):
        engine.generate(requests_of("variation", 1))


def test_other_modes_are_refused(sampler, materials):
    with pytest.raises(UserError, match="knows variation, inpaint and text"):
        engine_of(sampler, materials).generate(requests_of("copy_paste", 1))


def test_a_class_of_a_hundred_kilobytes_is_refused(sampler, materials):
    spec = SampleSpec("scratch " * 12_500, mode="text", steps=1)
    with pytest.raises(UserError, match="reads 75 tokens"):
        engine_of(sampler, materials).generate([Request(spec, 0)])


def test_strength_too_small_for_a_step_is_refused(sampler, materials):
    with pytest.raises(UserError, match="does none"):
        engine_of(sampler, materials).generate(requests_of("variation", 1, strength=0.01))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"context": -1.0}, "context"),
        ({"prompt": "steel"}, "needs {defect}"),
    ],
)
def test_wrong_settings_are_named(sampler, materials, changes, message):
    with pytest.raises(UserError, match=message):
        engine_of(sampler, materials, **changes)


def test_loads_from_its_config(tiny_sd, sampler, materials):
    config = DiffusionConfig(base=str(tiny_sd), batch_size=4, least_psnr=0.0)
    requests = requests_of("inpaint", 2)
    loaded = DiffusionEngine.load(config, materials).generate(requests)
    shared = engine_of(sampler, materials).generate(requests)
    for first, second in zip(loaded, shared, strict=True):
        assert first.picture.tobytes() == second.picture.tobytes()
