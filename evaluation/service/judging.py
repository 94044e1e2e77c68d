"""Judges one submission and lays out its run; works in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from millsight.evaluation.metrics import BootstrapConfig
from millsight.evaluation.results import PictureResult, from_table
from millsight.evaluation.results.evaluating import (
    ResultEvaluation,
    evaluate_results,
    result_curves,
)
from millsight.evaluation.results.table import FILE, read_table, to_table, write_table
from millsight.evaluation.service import picture_table
from millsight.evaluation.service.model import Report
from millsight.evaluation.service.predictions import add_predictions, threshold_of, unpack
from millsight.evaluation.service.stored_evaluation import save_evaluation
from millsight.evaluation.service.submission import Submission
from millsight.platform import storage
from millsight.platform.errors import UserError

RESULT = "run.json"
MASKS = "masks"


def judge(submission: Submission, work: Path, report: Report) -> None:
    """Make the folder ``work/run``: result table, evaluation, replicates, pictures and masks.

    Args:
        submission: What was sent.
        work: Empty folder of this attempt.
        report: Told the pictures done, in all, and what is being done.

    Raises:
        UserError: If the submission is at fault.
    """
    truth = list(from_table(read_table(submission.table)))
    report(0, len(truth), "unpacking")
    received = unpack(submission, len(truth), work / "files")
    try:
        rows = add_predictions(truth, received, submission, report)
    except UserError as error:
        raise UserError(_for_client(str(error), truth, submission, work)) from None
    run = work / "run"
    run.mkdir()
    rows = _keep_masks(rows, run / MASKS)
    report(len(rows), len(rows), "judging")
    table = to_table(rows, run=submission.run)
    evaluation = evaluate_results(table, bootstrap=BootstrapConfig(submission.resamples))
    if not evaluation.tasks():
        raise UserError(
            "Nothing can be judged: the dataset has no truth for what was predicted, or nothing "
            "was predicted."
        )
    write_table(run / FILE, table)
    save_evaluation(run, evaluation)
    picture_table.write(run, rows)
    content = {
        "tasks": list(evaluation.tasks()),
        "headline": {name: value.to_dict() for name, value in evaluation.headline().items()},
        "evaluation": evaluation.to_dict(),
        "curves": [curve.to_dict() for curve in result_curves(table)],
        "provenance": _provenance(submission, received.parts, rows),
        "warnings": _warnings(rows, evaluation),
    }
    storage.write_bytes(run / RESULT, json.dumps(content).encode())


def _for_client(
    message: str, truth: Sequence[PictureResult], submission: Submission, work: Path
) -> str:
    """Take out where things lie, and of hidden pictures what they are called: names are labels."""
    message = message.replace(f"{work}/files/", "").replace(f"{work}/", "")
    if submission.by_id:
        for row in truth:
            for address in filter(None, (row.uri, row.true_mask_uri)):
                message = message.replace(address, row.sample_id)
    return message


def _keep_masks(rows: Sequence[PictureResult], folder: Path) -> list[PictureResult]:
    """Move the masks that belong to a picture into the run, named by sample id."""
    if all(row.predicted_mask_uri is None for row in rows):
        return list(rows)
    folder.mkdir()
    kept = []
    for row in rows:
        Path(str(row.predicted_mask_uri)).replace(folder / f"{row.sample_id}.png")
        kept.append(replace(row, predicted_mask_uri=f"{MASKS}/{row.sample_id}.png"))
    return kept


def _provenance(
    submission: Submission, parts: dict[str, Path], rows: Sequence[PictureResult]
) -> dict[str, Any]:
    masks = any(row.predicted_mask_uri is not None for row in rows)
    return {
        "files": sorted(parts) + (["masks"] if masks else []),
        "decide": submission.decide,
        "threshold": submission.threshold,
        "mask_threshold": threshold_of(submission, parts),
        "resamples": submission.resamples,
        "upload": Path(submission.upload).name,
        "millsight": version("millsight"),
    }


def _warnings(rows: Sequence[PictureResult], evaluation: ResultEvaluation) -> list[str]:
    """Say what a reader should know before he believes the numbers; of predictions alone."""
    found = []
    areas = [row.predicted_area for row in rows if row.predicted_area is not None]
    if areas and not any(areas):
        found.append("Not one pixel is predicted in any picture: is the threshold right?")
    calls = {row.decision for row in rows if row.decision is not None}
    if len(calls) == 1:
        called = "defective" if calls.pop() else "good"
        found.append(f"Every picture is called {called}: is the threshold right?")
    if "samples" not in evaluation.tasks():
        found.append("No decision could be judged, so that no picture counts as right or wrong.")
    return found
