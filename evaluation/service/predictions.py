"""From a stranger's files to rows of the result table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from millsight.evaluation.results import PictureResult, coco, decisions, masks, scores
from millsight.evaluation.service.model import Report, run_model
from millsight.evaluation.service.submission import Decide, Submission
from millsight.platform.catalog.sample import GOOD
from millsight.platform.errors import UserError
from millsight.platform.services.archives import ZipLimits, extract_zip

SUFFIXES = frozenset({".json", ".csv", ".png", ".onnx"})
MANY_FILES = 20_000
MODEL_THRESHOLD = 0.5
BOXES, ANNOTATIONS, SCORES, MODEL = (
    "detections.json",
    "annotations.json",
    "scores.csv",
    "model.onnx",
)
PARTS = (BOXES, ANNOTATIONS, SCORES, MODEL)
SINGLE = {"json": BOXES, "csv": SCORES}


@dataclass(frozen=True)
class Received:
    """A submission's files.

    Attributes:
        folder: Where they lie.
        parts: Those of the names in ``PARTS``, by name.
        masks: Folder that holds the masks, if there are any.
    """

    folder: Path
    parts: dict[str, Path]
    masks: Path | None


def unpack(submission: Submission, n_pictures: int, folder: Path) -> Received:
    """Lay a submission's files out.

    Args:
        submission: What was sent.
        n_pictures: Of the dataset; bounds the number of files.
        folder: Must not exist yet.

    Raises:
        UserError: If a file has another name than those that mean something.
        UploadError: If the archive is not one that is unpacked.
    """
    upload = Path(submission.upload)
    if submission.kind in SINGLE:
        folder.mkdir()
        path = folder / SINGLE[submission.kind]
        path.symlink_to(upload)
        return Received(folder, {path.name: path}, None)
    limits = ZipLimits(
        files=max(MANY_FILES, 2 * n_pictures),
        total_bytes=submission.max_unpacked_bytes,
        suffixes=SUFFIXES,
    )
    files = extract_zip(upload, folder, limits)
    if not files:
        raise UserError("The zip holds no file: put predictions or a model.onnx into it.")
    parts: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() == ".png":
            continue
        if path.name not in PARTS or path.name in parts:
            shown = path.relative_to(folder)
            raise UserError(f"{shown} in the zip: use each of {', '.join(PARTS)} once at most.")
        parts[path.name] = path
    has_masks = any(path.suffix.lower() == ".png" for path in files)
    if ANNOTATIONS in parts and BOXES not in parts:
        raise UserError(f"{ANNOTATIONS} says what the ids in a {BOXES} mean: put that in too.")
    return Received(folder, parts, folder if has_masks else None)


def add_predictions(
    truth: Sequence[PictureResult], received: Received, submission: Submission, report: Report
) -> list[PictureResult]:
    """Fill in everything that was predicted, and decide.

    The importers see neither where pictures lie nor, for boxes, which have truth: whether and how
    they complain must tell nothing.

    Args:
        truth: The dataset's rows.
        received: The client's files.
        submission: How to read them.
        report: Told the pictures done, in all, and what is being done.

    Raises:
        UserError: If a file breaks its format or leaves a picture out.
    """
    rows = [_masked(row, submission.by_id) for row in truth]
    threshold = threshold_of(submission, received.parts)
    if MODEL in received.parts:
        if received.masks or SCORES in received.parts:
            raise UserError(f"Send {MODEL} or masks and scores, not both: it predicts them itself.")
        folder = received.folder.with_name("predicted")
        run_model(received.parts[MODEL], truth, folder, report)
        received = replace(
            received, parts={**received.parts, SCORES: folder / SCORES}, masks=folder
        )
    report(0, len(rows), "reading predictions")
    if SCORES in received.parts:
        rows = scores.add_scores(rows, str(received.parts[SCORES]))
    if BOXES in received.parts:
        rows = _add_boxes(rows, received)
    if received.masks:
        report(0, len(rows), "counting the masks' pixels")
        rows = masks.add_masks(rows, str(received.masks), threshold)
    if submission.by_id:
        _refuse_unknown_classes(truth, rows)
    rows = _decide(_scored(rows), submission, received)
    return [replace(row, uri=known.uri) for row, known in zip(rows, truth, strict=True)]


def threshold_of(submission: Submission, parts: Mapping[str, Path]) -> float | None:
    """Return where probabilities count as defective; ``None`` for masks of 0 and 255."""
    if submission.threshold is None and MODEL in parts:
        return MODEL_THRESHOLD
    return submission.threshold


def _masked(row: PictureResult, by_id: bool) -> PictureResult:
    name = f"{row.sample_id}{PurePosixPath(row.uri).suffix.lower()}"
    return replace(row, uri=name) if by_id else row


def _add_boxes(rows: Sequence[PictureResult], received: Received) -> list[PictureResult]:
    annotations = received.parts.get(ANNOTATIONS)
    filled = coco.add_boxes(
        [replace(row, true_boxes=()) for row in rows],
        str(received.parts[BOXES]),
        None if annotations is None else str(annotations),
    )
    return [
        replace(row, predicted_boxes=new.predicted_boxes)
        for row, new in zip(rows, filled, strict=True)
    ]


def _refuse_unknown_classes(truth: Sequence[PictureResult], rows: Sequence[PictureResult]) -> None:
    """A class of its own for every picture would make the confusion matrix a list of labels."""
    known: set[str | None] = {row.label for row in truth} | {None}
    known |= {box.label for row in truth for box in row.true_boxes or ()}
    for row in rows:
        named = {row.predicted_label, *row.class_scores}
        named |= {box.label for box in row.predicted_boxes or ()}
        if unknown := sorted(str(name)[:40] for name in named - known):
            raise UserError(
                f"{row.uri}: {unknown[0]!r} is none of the dataset's classes; they are "
                f"{', '.join(sorted(name for name in known if name))}."
            )


def _decide(
    rows: list[PictureResult], submission: Submission, received: Received
) -> list[PictureResult]:
    how = submission.decide
    threshold = threshold_of(submission, received.parts)
    if how is Decide.AUTO:
        return _decide_automatically(rows, threshold)
    ways = {
        Decide.LABEL: "predicted_label",
        Decide.SCORE: "score",
        Decide.PIXELS: "predicted_area",
        Decide.BOXES: "predicted_boxes",
    }
    if any(getattr(row, ways[how]) is None for row in rows):
        raise UserError(f"decide={how}: not every picture has such a prediction.")
    if how is Decide.LABEL:
        return decisions.by_label(rows)
    if how is Decide.PIXELS:
        return decisions.by_pixels(rows)
    if threshold is None:
        raise UserError(f"decide={how}: say from which threshold on a part is stopped.")
    by_score = decisions.by_score if how is Decide.SCORE else decisions.by_boxes
    return by_score(rows, threshold)


def _decide_automatically(
    rows: list[PictureResult], threshold: float | None
) -> list[PictureResult]:
    """As ``millsight evaluate`` does: by what was said, scores, pixels, classes, or not at all."""
    if any(row.decision is not None for row in rows):
        return rows
    if threshold is not None and all(row.score is not None for row in rows):
        return decisions.by_score(rows, threshold)
    if all(row.predicted_area is not None for row in rows):
        return decisions.by_pixels(rows)
    # Where nothing is good and nothing is called so, classes stop every part: that is no decision.
    called = {label for row in rows for label in (row.label, row.predicted_label)}
    return decisions.by_label(rows) if GOOD in called and len(called - {None}) > 1 else rows


def _scored(rows: list[PictureResult]) -> list[PictureResult]:
    """Score by the best box where nothing else scores a picture, and there are good ones."""
    boxed = all(row.score is None and row.predicted_boxes is not None for row in rows)
    has_good = any(row.defective is False for row in rows)
    return decisions.score_by_boxes(rows) if boxed and has_good else rows
