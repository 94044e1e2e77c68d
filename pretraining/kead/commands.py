"""``millsight extract``, ``ablate`` and ``prompts draft``; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.executors import ExecutionConfig
from millsight.platform.tracking import TrackingConfig
from millsight.pretraining.kead.config import KeADConfig

HEADLINES = ("image_auroc", "pixel_auroc", "aupro")


@dataclass(kw_only=True)
class ExtractConfig(OutputConfig):
    """Settings of ``millsight extract``.

    Attributes:
        data: Folder of pictures in any layout, or a catalog.
        normals: Folder of pictures without defects for the memory bank; by default the pictures
            of ``data`` that are labelled good, from its training split where it has splits.
        unlabelled: Folder whose pictures count as unlabelled, labels or not; by default the
            pictures that are scored. ``kead.unlabelled`` says how many are taken.
        split: Score only this split of ``data``.
        category: Material and line, which also chooses the prompts; by default the folder's name.
        layout: Of ``data``; ``auto`` looks at the folder.
        kead: The method.
        execution: Where it runs.
        tracking: Who is told.
        batch_size: Pictures per forward pass.
    """

    data: str
    normals: str | None = None
    unlabelled: str | None = None
    split: str | None = None
    category: str | None = None
    layout: str = "auto"
    kead: KeADConfig = field(default_factory=KeADConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    batch_size: int = 16


@dataclass(kw_only=True)
class DraftConfig:
    """Settings of ``millsight prompts draft``.

    Attributes:
        picture: One picture of the category; it is sent to the endpoint.
        category: Name of the category, as the catalog has it.
        model: Name of a model that reads pictures.
        output: File to write, never overwritten; by default ``<category>.yaml``.
        base_url: Address of any OpenAI-compatible server, up to and with ``/v1``; by default
            ``OPENAI_BASE_URL``, else OpenAI's.
        api_key: By default ``OPENAI_API_KEY``, which keeps it out of the shell's history.
        timeout: Seconds to wait for the answer.
    """

    picture: str
    category: str
    model: str
    output: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    timeout: float = 120.0


@dataclass(kw_only=True)
class AblateConfig:
    """Settings of ``millsight ablate``.

    Attributes:
        data: Labelled pictures: a folder in any layout, or a catalog.
        encoders: Sources of weights.
        shots: Values of k.
        split: Score only this split of ``data``.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line, where the layout names none.
        kead: All other settings.
        device: A torch device.
        output: CSV file to write, never overwritten.
    """

    data: str
    encoders: list[str] = field(default_factory=lambda: ["embedded:micro-clip"])
    shots: list[int] = field(default_factory=lambda: [0, 1, 2, 4])
    split: str | None = "test"
    layout: str = "auto"
    category: str | None = None
    kead: KeADConfig = field(default_factory=KeADConfig)
    device: str = "cpu"
    output: str = "ablation.csv"


def extract(config: ExtractConfig) -> Outcome:
    """Score pictures with KeAD: an anomaly map and a score for each, without training."""
    from millsight.pretraining.kead.extraction import extract_maps

    return extract_maps(config)


def draft(config: DraftConfig) -> Outcome:
    """Write a first prompt file for a new category from one picture, for a person to edit."""
    from millsight.pretraining.kead.draft import Endpoint, draft_prompts
    from millsight.pretraining.kead.prompt_sets import slug

    output = config.output or f"{slug(config.category)}.yaml"
    endpoint = Endpoint(config.model, config.base_url, config.api_key, config.timeout)
    prompts = draft_prompts(config.picture, config.category, output, endpoint)
    print(f"{output}: {prompts.object}, {len(prompts.defects)} defect types. Edit it, then use it:")
    print(f"  millsight extract --kead.prompts {output} ...")
    return Outcome()


def ablate(config: AblateConfig) -> Outcome:
    """Compare prompts, attention, encoders and k on labelled pictures, in one table."""
    from millsight.platform import storage
    from millsight.platform.catalog.catalog import load_data
    from millsight.pretraining.kead import ablation

    fs, path = storage.filesystem(config.output)
    if fs.exists(path):
        raise UserError(f"--output {config.output} exists and is not overwritten.")
    catalog = load_data(config.data, config.layout, config.category)
    wanted = catalog.where(split=config.split) if config.split else catalog
    if not wanted.samples:
        raise UserError(f"--split {config.split}: no picture of {config.data} is in it.")
    table = ablation.ablate(
        wanted.samples,
        catalog.samples,
        config.encoders,
        shots=config.shots,
        base=config.kead,
        device=config.device,
    )
    storage.write_bytes(config.output, table.to_csv(index=False).encode())
    variant = [item.name for item in fields(ablation.Variant)]
    shown = [*variant, "category", "n_pictures", *HEADLINES]
    print(table[shown].to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    print(f"\nAll metrics: {config.output}")
    return Outcome()
