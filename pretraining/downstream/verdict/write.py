"""The verdict as files: Markdown, Parquet, JSON and a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from millsight.evaluation.metrics.results import BootstrapConfig
from millsight.platform import storage
from millsight.platform.artifacts import Draft
from millsight.platform.errors import UserError
from millsight.pretraining.downstream.comparison import ALL, compare_rows, describe_rows
from millsight.pretraining.downstream.label_figure import draw
from millsight.pretraining.downstream.verdict.trainings import Trainings
from millsight.pretraining.downstream.verdict.verdicts import Finding, find, sentences

TEXT_FILE, TABLE_FILE, JSON_FILE, FIGURE_FILE = (
    *("verdict.md", "verdict.parquet", "verdict.json"),
    "verdict.svg",
)
SHOWN = "pictures per class"
SCHEMA = pa.schema(
    [
        pa.field("data", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("minus", pa.string()),
        pa.field("shots", pa.int64()),
        pa.field("metric", pa.string(), nullable=False),
        *(pa.field(name, pa.float64()) for name in ("value", "low", "high", "spread")),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("seeds", pa.list_(pa.float64()), nullable=False),
        *(pa.field(name, pa.float64()) for name in ("seeds_low", "seeds_high")),
        pa.field("verdict", pa.string()),
    ],
    metadata={"millsight.schema": "verdict", "millsight.schema_version": "1"},
)


def write(draft: Draft, trainings: Trainings, reference: str | None, name: str | None) -> None:
    """Write ``verdict.md``, ``verdict.parquet``, ``verdict.json`` and ``verdict.svg``.

    Args:
        draft: Artifact to write into.
        trainings: What is compared.
        reference: The arm that others are compared with; by default the first.
        name: Of the data; by default the test pictures' category.

    Raises:
        UserError: If there is no such arm.
    """
    arms = list(dict.fromkeys(arm for arm, _ in trainings.runs))
    reference = arms[0] if reference is None else reference
    if reference not in arms:
        raise UserError(f"--reference {reference}: --trainings names {', '.join(arms)}.")
    bootstrap = BootstrapConfig()
    metrics = trainings.judged.metrics
    rows = compare_rows(trainings.measure(bootstrap), reference, metrics, bootstrap.confidence)
    decisive = next(iter(metrics))
    findings = [
        find(row, decisive, metrics[decisive], bootstrap.confidence)
        for row in rows
        if row["minus"] is not None
    ]
    data = name or trainings.data
    content = {"data": data, "metrics": dict(metrics), "rows": rows}
    text = _to_text(data, rows, trainings, findings, reference)
    storage.write_bytes(draft.file(TEXT_FILE), text.encode())
    storage.write_bytes(draft.file(JSON_FILE), (json.dumps(content, indent=2) + "\n").encode())
    storage.write_table(draft.file(TABLE_FILE), _to_table(data, rows, metrics, findings))
    storage.write_bytes(draft.file(FIGURE_FILE), draw([content], metrics, SHOWN).encode())


def _to_text(
    data: str,
    rows: Sequence[dict[str, Any]],
    trainings: Trainings,
    findings: Sequence[Finding],
    reference: str,
) -> str:
    table = describe_rows(rows, trainings.judged.metrics)
    counts = [
        f"- {arm} at {shots or ALL} shots: {_span(learnt)} synthetic pictures learnt"
        for (arm, shots), learnt in trainings.synthetic().items()
        if arm != reference
    ]
    parts = [
        f"# {data}",
        "Mean over seeds [95 % interval over test pictures] ± over seeds; differences are paired "
        "by seed and picture. An arm helps, or hurts, where the intervals over pictures and over "
        "seeds both leave zero on one side.",
        table,
        "\n".join(f"- {sentence}" for sentence in sentences(findings, reference)),
        "\n".join([*counts, *(f"- {sentence}" for sentence in trainings.left_out)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _to_table(
    data: str,
    rows: Sequence[dict[str, Any]],
    metrics: Any,
    findings: Sequence[Finding],
) -> pa.Table:
    decisive = next(iter(metrics))
    found = {(one.arm, one.shots): one for one in findings}
    lines = []
    for row in rows:
        for metric in metrics:
            line = {"data": data, "arm": row["start"], "minus": row["minus"], "metric": metric}
            line |= {"shots": row["labelled"]} | row[metric]
            if row["minus"] is not None and metric == decisive:
                one = found[row["start"], row["labelled"]]
                line |= {"seeds_low": one.low, "seeds_high": one.high, "verdict": one.verdict}
            lines.append(line)
    return pa.Table.from_pylist(lines, schema=SCHEMA)
