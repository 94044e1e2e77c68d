"""``millsight evaluate``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from millsight.platform.commands import Outcome, OutputConfig
from millsight.platform.errors import UserError
from millsight.platform.tracking import RunInfo, TrackingConfig, track

KIND = "evaluation"
SCHEMA_VERSION = 2
MAX_RUNS = 5


@dataclass(kw_only=True)
class CostConfig:
    """What a wrong decision costs, in any one currency; both or neither.

    Attributes:
        escape: A defective part that is shipped.
        overkill: A good part that is stopped.
        prevalence: Share of defective parts on the line; by default that of the pictures.
    """

    escape: float | None = None
    overkill: float | None = None
    prevalence: float | None = None


@dataclass(kw_only=True)
class EvaluateConfig(OutputConfig):
    """Settings of ``millsight evaluate``.

    Name what to judge: anomaly maps (``maps``), the predictions of any tool (``data`` with any of
    ``masks``, ``detections``, ``scores``), or what was judged before (``results``).

    Attributes:
        maps: Artifact of ``millsight extract``.
        boxes: Artifact of ``millsight boxes`` made from ``maps``, drawn into the pictures.
        data: Folder or catalog with labels, masks and boxes; by default what ``maps`` were made
            from.
        layout: Of ``data``; ``auto`` looks at the folder.
        split: Pictures of ``data`` to judge; by default those of ``maps``, else ``test``, else all.
        category: Judge only this material and line.
        masks: Folder of predicted masks: PNG files named like the pictures, 0 and 255.
        threshold: The masks are probabilities; predicted is what reaches this, in (0, 1].
        detections: COCO results file (a list of image_id, category_id, bbox, score).
        annotations: COCO annotation file that says what the ids of ``detections`` mean; without
            ``data`` it is the truth too.
        scores: CSV file with ``file`` and any of ``score``, ``label``, ``decision``,
            ``class:NAME``.
        decide: What calls a picture defective: its ``score`` or a box's reaching
            ``score_threshold``, any predicted ``pixels``, a predicted ``label`` other than good.
            ``auto`` takes what there is, the ``decision`` of ``scores`` first.
        score_threshold: For ``score`` and ``boxes``; choose it on validation pictures.
        results: Earlier evaluations, result tables or ``millsight finetune multitask`` artifacts.
            The report is about the predictions above, or else about the first of these; the others
            are compared with it. Five runs at most.
        names: Of the runs, in that order.
        costs: For the mean cost of a part.
        resamples: Of the bootstrap over pictures; 0 leaves the intervals out.
        tracking: Who is told.
    """

    maps: str | None = None
    boxes: str | None = None
    data: str | None = None
    layout: str = "auto"
    split: str | None = None
    category: str | None = None
    masks: str | None = None
    threshold: float | None = None
    detections: str | None = None
    annotations: str | None = None
    scores: str | None = None
    decide: Literal["auto", "score", "pixels", "label", "boxes"] = "auto"
    score_threshold: float | None = None
    results: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    costs: CostConfig = field(default_factory=CostConfig)
    resamples: int = 1000
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    @property
    def predicts(self) -> bool:
        """Whether predictions are named, besides result tables."""
        return bool(self.maps or self.masks or self.detections or self.scores)

    def check(self) -> None:
        """Refuse settings that do not go together.

        Raises:
            UserError: With all of them at once.
        """
        problems = [text for wrong, text in self._rules() if wrong]
        if problems:
            raise UserError("\n".join(problems))

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, besides its inputs, as it is in the fingerprint."""
        names = ("resamples", "split", "category", "threshold", "decide", "score_threshold")
        chosen = {name: getattr(self, name) for name in names}
        return chosen | {"names": list(self.names), "costs": asdict(self.costs)}

    def _rules(self) -> list[tuple[bool, str]]:
        runs = len(self.results) + self.predicts
        truth = self.data or self.maps or (self.annotations and not (self.masks or self.scores))
        some = "--masks, --detections or --scores"
        return [
            (
                runs == 0,
                f"name what to judge: --maps; {some} with --data; or --results, judged before.",
            ),
            (runs > MAX_RUNS, f"--results: {runs} runs; {MAX_RUNS} at most are compared."),
            (
                bool(self.names) and (len(self.names) != runs or len(set(self.names)) != runs),
                f"--names: {', '.join(self.names)}; name each of the {runs} runs, no two alike.",
            ),
            (
                self.predicts and not truth,
                f"--data: say which pictures and labels {some} are about.",
            ),
            (
                self.boxes is not None and self.maps is None,
                "--boxes are drawn over --maps; boxes of a detector go into --detections.",
            ),
            (
                self.threshold is not None and self.masks is None,
                "--threshold is for probabilities in --masks; for scores it is --score_threshold.",
            ),
            (
                self.annotations is not None and self.detections is None,
                "--annotations says what the ids of --detections mean; name both.",
            ),
            ((self.costs.escape is None) != (self.costs.overkill is None), _COSTS),
            (self.costs.prevalence is not None and self.costs.escape is None, _COSTS),
            (
                self.costs.prevalence is not None and not 0 <= self.costs.prevalence <= 1,
                f"--costs.prevalence {self.costs.prevalence} is a share, from 0 to 1.",
            ),
            (self.resamples < 0, f"--resamples {self.resamples}: at least 0."),
            *self._decision_rules(),
        ]

    def _decision_rules(self) -> list[tuple[bool, str]]:
        given = self.decide != "auto" or self.score_threshold is not None
        scored = self.decide in ("score", "boxes")
        return [
            (
                given and not self.predicts,
                "--decide and --score_threshold are for predictions named here; --results hold "
                "decisions.",
            ),
            (
                scored and self.score_threshold is None,
                f"--decide {self.decide} needs --score_threshold, chosen on validation pictures.",
            ),
            (
                self.score_threshold is not None and self.decide in ("pixels", "label"),
                f"--score_threshold does not go with --decide {self.decide}.",
            ),
            (
                self.decide == "pixels" and self.masks is None,
                "--decide pixels needs --masks.",
            ),
            (self.decide == "label" and self.scores is None, "--decide label needs --scores."),
            (
                self.decide == "boxes" and self.detections is None,
                "--decide boxes needs --detections.",
            ),
        ]


_COSTS = "--costs: name both --costs.escape and --costs.overkill (and --costs.prevalence at will)."


def evaluate(config: EvaluateConfig) -> Outcome:
    """Judge predictions against labels, masks and boxes: numbers with intervals, an HTML report."""
    config.check()
    from millsight.evaluation.runs import judged, printed, tracked, written
    from millsight.evaluation.runs.report_content import report_content
    from millsight.evaluation.runs.sources import open_sources
    from millsight.platform.artifacts import drafting, find_artifact
    from millsight.platform.fingerprints import Recipe

    sources = open_sources(config)
    inputs = {role: item for source in sources for role, item in source.inputs.items()}
    recipe = Recipe(KIND, SCHEMA_VERSION, config.settings(), inputs)
    path = config.path(recipe)
    artifact = find_artifact(path, recipe)
    if artifact is None:
        info = RunInfo(KIND, recipe.fingerprint, dict(recipe.config))
        with drafting(path, recipe) as draft, track(config.tracking, info) as tracker:
            runs = judged.judge(sources, config.costs, config.resamples)
            content = report_content(runs)
            written.write(draft, runs, content)
            tracked.log(tracker, runs, content.pictures)
            artifact = draft.commit(written.headline(runs[0].evaluation))
    printed.print_artifact(artifact)
    return Outcome(artifact=artifact)
