import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from drawn_defects import CONFIG, SIZE, drawn, make

from millsight.generators.filters import real
from millsight.generators.filters.chain import FilterChain
from millsight.generators.filters.quota import QuotaFilter
from millsight.generators.filters.real import RealCrops, load_crops
from millsight.generators.quality.features import FeatureNet
from millsight.generators.samples import Generated, Verdict
from millsight.platform.catalog.catalog import Catalog
from millsight.platform.catalog.synthetic import RENDERED
from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights


def _of(sample: Generated, name: str) -> Verdict:
    return {verdict.name: verdict for verdict in sample.verdicts}[name]


def _rejecting(chain: FilterChain, sample: Generated) -> list[str]:
    judged = chain.judge([sample])[0]
    return [verdict.name for verdict in judged.verdicts if not verdict.accepted]


def test_most_good_samples_stay_and_every_verdict_is_stored(chain):
    judged = chain.judge([make(i, label) for i in range(8) for label in ("scratch", "pit")])
    assert sum(item.accepted for item in judged) >= 12
    names = ("blank", "difference", "agreement", "memorised", "outlier", "duplicate", "quota")
    for item in judged:
        assert tuple(verdict.name for verdict in item.verdicts) == names
        assert all(verdict.reason for verdict in item.verdicts)
        assert not _of(item, "agreement").abstained


def test_verdicts_do_not_depend_on_batches(chain):
    samples = [make(i, "scratch") for i in (0, 1, 0, 2, 1, 3)]
    together = chain.judge(samples)
    another = chain.for_another_set()
    alone = [another.judge([sample])[0] for sample in samples]
    for one, other in zip(together, alone, strict=True):
        assert [v.accepted for v in one.verdicts] == [v.accepted for v in other.verdicts]


def test_blank_pictures_are_rejected(chain):
    for level in (0, 128, 255):
        assert "blank" in _rejecting(
            chain, make(0, "pit", picture=np.full((*SIZE, 3), level, np.uint8))
        )
    dark = make(0, "pit")
    assert "blank" in _rejecting(chain, replace(dark, picture=dark.picture // 4))


def test_a_defect_that_is_not_there_is_rejected(chain):
    sample = make(1, "scratch")
    assert sample.plate is not None
    assert "difference" in _rejecting(chain, replace(sample, picture=sample.plate))
    nowhere = replace(sample, mask=np.zeros(SIZE, np.bool_))
    assert "difference" in _rejecting(chain, nowhere)


def test_a_defect_beside_its_mask_is_rejected(chain):
    sample = make(1, "pit")
    weak = make(1, "scratch")
    both = np.where(weak.mask[..., None], sample.picture // 2 + 40, sample.picture)
    beside = replace(sample, picture=both.astype(np.uint8), mask=weak.mask & ~sample.mask)
    assert "difference" in _rejecting(chain, beside)


def test_another_class_is_not_agreed_to(chain):
    pits = [make(i, "pit") for i in range(6)]
    wrong = [replace(one, request=make(at, "scratch").request) for at, one in enumerate(pits)]
    rejected = [not _of(item, "agreement").accepted for item in chain.judge(wrong)]
    assert sum(rejected) >= 5


@pytest.mark.parametrize("number", [2, 8, 9])
def test_copies_of_real_pictures_of_any_split_are_rejected(chain, number):
    picture, mask = drawn(number, "scratch")
    copy = (picture * 0.97).astype(np.uint8)
    sample = make(0, "scratch", picture=copy, mask=mask, plate=None)
    verdict = _of(chain.judge([sample])[0], "memorised")
    assert not verdict.accepted
    assert ("train", "val", "test")[max(0, number - 7)] in verdict.reason


def test_pasting_may_look_like_its_source_and_a_variation_may_not_be_it(chain, catalog):
    source = next(one for one in catalog if one.id == "scratch2")
    picture, mask = drawn(2, "scratch")
    origin = {"source": {"id": source.id}}
    copy = {"picture": picture, "mask": mask, "provenance": origin, "plate": None}
    pasted = chain.judge([make(0, "scratch", "copy_paste", **copy)])[0]
    assert _of(pasted, "memorised").accepted
    assert "memorised" in _rejecting(chain, make(0, "scratch", "variation", **copy))
    held_out = {**copy, "picture": drawn(9, "scratch")[0], "mask": drawn(9, "scratch")[1]}
    assert "memorised" in _rejecting(chain, make(0, "scratch", "copy_paste", **held_out))


def test_noise_is_far_from_everything_real(chain):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 1), np.uint8).repeat(3, axis=2)
    assert "outlier" in _rejecting(chain, make(0, "scratch", picture=noise))


def test_the_second_of_two_equal_samples_is_a_duplicate(chain):
    first, second, third = chain.judge([make(3, "pit"), make(3, "pit"), make(4, "pit")])
    assert _of(first, "duplicate").accepted
    assert not _of(second, "duplicate").accepted
    assert _of(third, "duplicate").accepted


def test_a_class_is_full_after_its_quota(chain):
    judged = replace(chain, set_filters=[QuotaFilter(1)]).judge(
        [make(i, label) for i in range(6) for label in ("pit", "scratch")]
    )
    full = Counter(item.request.spec.label for item in judged if item.accepted)
    assert full == {"pit": 1, "scratch": 1}


def test_an_unknown_class_gets_no_verdict_where_there_is_nothing_to_compare_with(chain):
    sample = make(0, "pit")
    spec = replace(sample.request.spec, label="dent")
    judged = chain.judge([replace(sample, request=replace(sample.request, spec=spec), plate=None)])
    abstained = [verdict.name for verdict in judged[0].verdicts if verdict.abstained]
    assert abstained == ["difference", "agreement", "memorised", "outlier", "duplicate"]


def test_what_the_recognizer_can_do_is_told(chain):
    told = json.loads(json.dumps(chain.describe(), allow_nan=False))
    assert set(told["recognizer"]["classes"]) == {"good", "pit", "scratch"}
    assert told["recognizer"]["balanced_accuracy"] > 0.7
    assert told["limits"]["pit"]["far"] > told["limits"]["pit"]["features"] > 0


def test_wrong_settings_and_data_without_defects_are_refused(catalog):
    with pytest.raises(UserError, match=r"filters\.error_rate"):
        FilterChain.calibrate(catalog, replace(CONFIG, error_rate=0.5))
    goods = Catalog(tuple(one for one in catalog if not one.defective))
    with pytest.raises(UserError, match="no picture of a defect"):
        FilterChain.calibrate(goods, CONFIG)


def test_a_class_of_few_objects_has_the_limits_of_all_together(catalog):
    few = [one for one in catalog if one.label != "pit" or one.id in ("pit0", "pit1", "pit9")]
    chain = FilterChain.calibrate(Catalog(tuple(few)), CONFIG)
    limits = chain.describe()["limits"]
    assert set(limits) == {"pit", "scratch"}
    assert limits["pit"] != limits["scratch"]
    judged = chain.judge([make(0, "pit")])[0]
    assert not _of(judged, "outlier").abstained
    three = [one for one in few if one.label != "scratch"]
    assert FilterChain.calibrate(Catalog(tuple(three)), CONFIG).describe()["limits"] == {}


def test_the_same_real_pictures_are_looked_at_once(catalog):
    network = FeatureNet(load_weights("random:timm:test_efficientnet?seed=0"))
    looked: list[int] = []

    def load(pictures: Catalog) -> RealCrops:
        looked.clear()
        return load_crops(network, pictures, CONFIG, lambda done, total: looked.append(done))

    pits = catalog.where(label="pit")
    first = load(pits)
    assert len(looked) == len(first) == 10
    assert load(pits) is first
    assert not looked
    assert len(load(pits.with_samples(pits.samples[1:]))) == len(looked) == 9


def test_two_threads_may_look_at_two_catalogs(catalog, monkeypatch):
    class Swept(dict):
        """As when the other thread notes its own crops before this one returns."""

        def __setitem__(self, key, value):
            self.clear()

    monkeypatch.setattr(real, "_LAST", Swept())
    network = FeatureNet(load_weights("random:timm:test_efficientnet?seed=0"))
    assert len(load_crops(network, catalog.where(label="pit"), CONFIG)) == 10


def test_rendered_pictures_are_compared_with_like_photographs(catalog, calibrated):
    rendered = catalog.with_samples(replace(one, synthetic=RENDERED) for one in catalog)
    chain = FilterChain.calibrate(rendered, CONFIG)
    assert [one.name for one in chain.filters] == [one.name for one in calibrated.filters]
