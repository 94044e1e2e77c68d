"""``millsight generate sample``; light to import."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from millsight.generators.copy_paste.engine import CopyPasteConfig
from millsight.generators.diffusion.config import DiffusionConfig
from millsight.generators.filters.config import BudgetConfig, FilterConfig
from millsight.generators.procedural.engine import ProceduralConfig
from millsight.generators.samples import Materials, Request, SampleSpec
from millsight.platform.artifacts import Artifact, drafting, find_artifact
from millsight.platform.commands import EXIT_FAILED, EXIT_QUARANTINED, Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.executors import ExecutionConfig
from millsight.platform.fingerprints import Recipe
from millsight.platform.tracking import RunInfo, TrackingConfig, track

KIND = "generated"
SCHEMA_VERSION = 1
# Which settings decide the pictures of a mode.
ENGINES = {
    "procedural": "procedural",
    "copy_paste": "copy_paste",
    "variation": "diffusion",
    "inpaint": "diffusion",
    "text": "diffusion",
}


@dataclass(kw_only=True)
class GenerateSampleConfig(OutputConfig):
    """Settings of ``millsight generate sample``.

    Attributes:
        data: Folder of real pictures in any layout, or a catalog: plates and defects come from its
            ``train`` split, and filters compare with it.
        layout: Of ``data``; ``auto`` looks at the folder.
        category: Material and line; only this one of a catalog that has several.
        spec: What to make.
        procedural: Settings of mode ``procedural``.
        copy_paste: Settings of mode ``copy_paste``.
        diffusion: Settings of modes ``variation``, ``inpaint`` and ``text``.
        filters: How strictly samples are judged.
        scorer: Who says whether a defect stands out as an anomaly, for example ``kead``; by default
            nobody is asked.
        budget: How much may be tried.
        plates: Good pictures to use, by sample id; by default all of the training split.
        defects: Pictures of the class to use, by sample id; by default all of the training split.
        only: Make these samples again and no others, each as INDEX/ATTEMPT, and judge none.
        format: Layout of the set: ``folder`` (one folder per class, and masks), ``coco`` or
            ``yolo``.
        zip: Also write the set as ``set.zip``.
        execution: Where the pictures are made; each of Ray's actors holds one model.
        tracking: Who is told.
    """

    data: str
    spec: SampleSpec
    layout: str = "auto"
    category: str | None = None
    procedural: ProceduralConfig = field(default_factory=ProceduralConfig)
    copy_paste: CopyPasteConfig = field(default_factory=CopyPasteConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    scorer: str | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    plates: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    format: Literal["folder", "coco", "yolo"] = "folder"
    zip: bool = False
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def deciding(self) -> dict[str, Any]:
        """Return the settings that decide what is in the set."""
        engine = ENGINES[self.spec.mode]
        budget = asdict(self.budget)
        # The set does not depend on it.
        del budget["batch_size"]
        narrowing = {"plates": self.plates, "defects": self.defects, "only": self.only}
        return {
            "spec": asdict(self.spec),
            engine: asdict(getattr(self, engine)),
            "filters": asdict(self.filters),
            "scorer": self.scorer,
            "budget": budget,
            "format": self.format,
            "zip": self.zip,
            # Left out where they narrow nothing, so that earlier sets keep their fingerprints.
            **{name: value for name, value in narrowing.items() if value},
        }

    def only_requests(self) -> list[Request]:
        """Return what ``only`` names.

        Raises:
            UserError: If one of them is no sample of the spec.
        """
        return [self._only(text) for text in self.only]

    def check_boxes(self, materials: Materials) -> None:
        """Refuse layouts that tell classes by boxes alone where pictures will have none.

        Raises:
            UserError: Naming the layout.
        """
        if self.format == "folder" or self.spec.mode not in {"text", "variation"}:
            return
        placed = all(one.mask_uri or one.boxes for one in materials.defects)
        if self.spec.mode == "text" or not placed:
            raise UserError(
                f"--format {self.format} tells classes by boxes, and pictures of --spec.mode "
                f"{self.spec.mode} have none here: they would lose their class. Use --format "
                "folder."
            )

    def _only(self, text: str) -> Request:
        index, _, attempt = text.partition("/")
        if not (index.isdecimal() and attempt.isdecimal() and int(index) < self.spec.count):
            raise UserError(
                f"--only {text}: INDEX/ATTEMPT, two numbers from 0, the first below --spec.count "
                f"{self.spec.count}."
            )
        return Request(self.spec, int(index), int(attempt))


def sample(config: GenerateSampleConfig) -> Outcome:
    """Make labelled synthetic defects, judge each, and try again for those that are rejected."""
    config.spec.check()
    config.filters.check()
    config.budget.check()
    config.only_requests()
    from millsight.generators.production.produce import open_sources, produce
    from millsight.platform.runs import GivenUpError, print_failed

    sources = open_sources(config)
    config.check_boxes(sources.materials)
    if sources.terms:
        print(f"Base model {config.diffusion.base}: licence {sources.terms}")
    recipe = Recipe(
        KIND,
        SCHEMA_VERSION,
        config.deciding(),
        {"data": sources.catalog.as_input()},
        sources.weights,
    )
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        try:
            with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
                metrics = produce(config, sources, draft, tracker)
                tracker.summary(metrics)
                artifact = draft.commit(metrics)
        except GivenUpError as error:
            print_failed(error.report, path)
            return Outcome(EXIT_FAILED)
    else:
        print("Made already:")
    return _told(artifact)


def _told(artifact: Artifact) -> Outcome:
    """Say how full a set is."""
    metrics = artifact.manifest["metrics"]
    print(f"{metrics['accepted']} of {metrics['wanted']} samples: {artifact.path}")
    short = metrics["accepted"] < metrics["wanted"]
    return Outcome(EXIT_QUARANTINED if short else 0, artifact)
