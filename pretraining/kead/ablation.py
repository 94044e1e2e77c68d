"""KeAD's ablation: {generic, defect sentences} x {Q-K, V-V} x encoders x k, one table out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch

from millsight.evaluation.metrics import BootstrapConfig, MapEvaluation, evaluate_maps
from millsight.evaluation.metrics.results import METRICS
from millsight.platform.catalog.pictures import open_mask, open_picture
from millsight.platform.catalog.sample import Sample
from millsight.platform.errors import UserError
from millsight.platform.weights import load_weights
from millsight.pretraining.kead.config import KeADConfig
from millsight.pretraining.kead.kead import KeAD
from millsight.pretraining.kead.memory_bank import MemoryBank
from millsight.pretraining.kead.prompt_sets import Sentences, prompts_for
from millsight.pretraining.kead.references import choose_references, order_unlabelled
from millsight.pretraining.kead.scoring import (
    CategoryModel,
    PictureScore,
    combine,
    with_unlabelled,
)
from millsight.pretraining.kead.unlabelled import Identity, UnlabelledPictures
from millsight.pretraining.kead.vv_attention import Attention

NO_TEXT = "none"
SHOTS = (0, 1, 2, 4)
BATCH = 8


@dataclass(frozen=True, slots=True)
class Variant:
    """One cell of the grid.

    Attributes:
        encoder: Source of its weights.
        attention: ``vv``, ``qk``, or ``none`` for a vision-only encoder.
        prompts: ``defects``, ``generic``, or ``none`` for a vision-only encoder.
        k: Normal pictures per category.
        unlabelled: At most so many unlabelled pictures per category.
    """

    encoder: str
    attention: str
    prompts: str
    k: int
    unlabelled: int


def ablate(
    samples: Sequence[Sample],
    candidates: Sequence[Sample],
    encoders: Sequence[str],
    *,
    shots: Sequence[int] = SHOTS,
    base: KeADConfig | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """Score labelled pictures under every variant.

    A picture is encoded once per encoder and attention; prompts and k share what that gives. The
    memory bank of a smaller k is a part of a larger one's. A vision-only encoder has no prompts and
    no attention to choose, and no k = 0 without unlabelled pictures. Where ``base.unlabelled`` is
    not 0, every variant is there without and with so many of ``samples``.

    Args:
        samples: What is scored, labelled; masks count where there are some.
        candidates: What the normal pictures are drawn from; see ``choose_references``.
        encoders: Sources of weights.
        shots: Values of k.
        base: All other settings.
        device: A torch device.

    Returns:
        One row per variant and category, and one named ``mean`` where there are several: the fields
        of ``Variant``, ``category``, ``n_pictures``, and the metrics.

    Raises:
        UserError: If a category has too few normal pictures, or weights cannot be had.
    """
    if not samples or not encoders or not shots:
        raise UserError("--encoders, --shots and --data: each needs at least one entry.")
    settings = replace(base or KeADConfig(), k=max(shots))
    samples = sorted(samples, key=lambda sample: sample.category)
    masks = [_mask(sample) for sample in samples]
    rows = []
    for encoder in encoders:
        for kead in _load(replace(settings, encoder=encoder), device):
            scored = _score_variants(kead, samples, _references(candidates, kead), shots)
            for variant, scores in scored.items():
                rows += _rows(variant, _evaluate(samples, scores, masks))
    return pd.DataFrame(rows)


def _load(config: KeADConfig, device: str) -> Iterator[KeAD]:
    weights = load_weights(config.encoder)
    attentions: tuple[Attention, ...] = ("qk", "vv")
    for attention in attentions if weights.library == "open_clip" else attentions[-1:]:
        yield KeAD.load(replace(config, attention=attention), device, weights=weights)


def _references(candidates: Sequence[Sample], kead: KeAD) -> dict[str, list[MemoryBank]]:
    """Return, per category, one memory bank for each normal picture, in the order of the draw."""
    chosen = choose_references(candidates, kead.config)
    return {
        category: [kead.remember([open_picture(sample.uri)]) for sample in found]
        for category, found in chosen.items()
    }


def _score_variants(
    kead: KeAD,
    samples: Sequence[Sample],
    references: Mapping[str, Sequence[MemoryBank]],
    shots: Sequence[int],
) -> dict[Variant, list[PictureScore]]:
    unlabelled = _unlabelled(samples, kead)
    models = {
        category: dict(
            _models(kead, category, references[category], shots, unlabelled.get(category))
        )
        for category in sorted({sample.category for sample in samples})
    }
    scores: dict[Variant, dict[int, PictureScore]] = {}
    start = 0
    for batch in _same_category(samples):
        pixels = [kead.encoder.prepare(open_picture(sample.uri)) for sample in batch]
        identities = [Identity.of(sample) for sample in batch]
        for rows, features in kead.encode_all(pixels):
            own = [identities[row] for row in rows]
            for variant, model in models[batch[0].category].items():
                with torch.inference_mode():
                    found = combine(features, model, kead.config, own)
                places = [start + row for row in rows]
                scores.setdefault(variant, {}).update(zip(places, found, strict=True))
        start += len(batch)
    return {variant: [found[i] for i in sorted(found)] for variant, found in scores.items()}


def _unlabelled(samples: Sequence[Sample], kead: KeAD) -> dict[str, UnlabelledPictures]:
    """Return each category's unlabelled pictures, drawn from those that are scored."""
    count = kead.config.unlabelled
    if not count:
        return {}
    return {
        category: kead.survey(
            {Identity.of(s): kead.encoder.prepare(open_picture(s.uri)) for s in found[:count]}
        )
        for category, found in order_unlabelled(samples, kead.config).items()
    }


def _models(
    kead: KeAD,
    category: str,
    banks: Sequence[MemoryBank],
    shots: Sequence[int],
    unlabelled: UnlabelledPictures | None,
) -> Iterator[tuple[Variant, CategoryModel]]:
    attention = kead.config.attention if kead.encode_texts else NO_TEXT
    for sentences, text in _texts(kead, category).items():
        for k in shots:
            bank = MemoryBank.join(banks[:k]) if k else None
            for others in (None,) if unlabelled is None else (None, unlabelled):
                if text is None and bank is None and others is None:
                    continue
                count = 0 if others is None else kead.config.unlabelled
                variant = Variant(kead.config.encoder, attention, sentences, k, count)
                yield variant, with_unlabelled(CategoryModel(text, bank), others)


def _texts(kead: KeAD, category: str) -> dict[str, torch.Tensor | None]:
    if kead.encode_texts is None:
        return {NO_TEXT: None}
    prompts = prompts_for(category, kead.config.prompts)
    choices: tuple[Sentences, ...] = ("generic", "defects")
    return {sentences: kead.embed(prompts, sentences) for sentences in choices}


def _same_category(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Cut samples, which lie category by category, into batches of one category each."""
    batch: list[Sample] = []
    for sample in samples:
        if batch and (len(batch) == BATCH or batch[0].category != sample.category):
            yield batch
            batch = []
        batch.append(sample)
    yield batch


def _evaluate(
    samples: Sequence[Sample],
    scores: Sequence[PictureScore],
    masks: Sequence[np.ndarray | None],
) -> MapEvaluation:
    return evaluate_maps(
        [score.score for score in scores],
        [sample.defective for sample in samples],
        [score.map for score in scores],
        masks,
        categories=[sample.category for sample in samples],
        sizes=[_size(sample) for sample in samples],
        bootstrap=BootstrapConfig(n_resamples=0),
    )


def _rows(variant: Variant, evaluation: MapEvaluation) -> list[dict[str, object]]:
    found = list(evaluation.categories)
    return [
        {
            **asdict(variant),
            "category": row.category,
            "n_pictures": row.n_pictures,
            **{name: getattr(row, name).value for name in METRICS},
        }
        for row in (found if len(found) == 1 else [*found, evaluation.mean])
    ]


def _mask(sample: Sample) -> np.ndarray | None:
    size = _size(sample)
    if sample.mask_uri is None or size is None:
        return None
    return open_mask(sample.mask_uri, (size[1], size[0]))


def _size(sample: Sample) -> tuple[int, int] | None:
    return None if sample.height is None or sample.width is None else (sample.height, sample.width)
