"""A W&B workspace and a report for a group of runs, with panels for what the runs logged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millsight.platform.errors import UserError
from millsight.platform.tracking.reader import RunRecord, read_runs

# How a stage went, as against what it found: in a section of its own, closed.
PLUMBING = ("shards_", "setup_seconds", "process_seconds", "pictures", "quarantined")
# W&B's report grid has 24 columns.
PANEL_WIDTH, PANELS_ABREAST, PANEL_HEIGHT = 8, 3, 8
LINE_SERIES = "wandb/lineseries/v0"


@dataclass(frozen=True)
class Group:
    """The runs of a group, and what they logged.

    Attributes:
        name: The group.
        runs: From JSON Lines.
    """

    name: str
    runs: Sequence[RunRecord]

    @property
    def headlines(self) -> list[str]:
        """Numbers in the runs' summaries that say what was found."""
        return [key for key in self._summaries() if not key.startswith(PLUMBING)]

    @property
    def plumbing(self) -> list[str]:
        """Numbers in the runs' summaries that say how it went."""
        return [key for key in self._summaries() if key.startswith(PLUMBING)]

    @property
    def histories(self) -> list[str]:
        """Numbers logged step by step."""
        rows = (row for run in self.runs for row in run.history)
        return [key for key in _numeric(rows) if key != "step"]

    @property
    def tables(self) -> list[str]:
        """Names of tables."""
        return sorted({name for run in self.runs for name in run.tables})

    @property
    def pictures(self) -> list[str]:
        """Names under which pictures were logged."""
        return sorted({name for run in self.runs for name in run.pictures})

    @property
    def curves(self) -> dict[str, str]:
        """Names of curves, with the names of their x axes."""
        found = {name: next(iter(c)) for run in self.runs for name, c in run.curves.items()}
        return dict(sorted(found.items()))

    def _summaries(self) -> list[str]:
        return _numeric(run.summary for run in self.runs)


def find_group(directory: Path, name: str) -> Group:
    """Read the runs of a group from a tracking directory.

    Raises:
        UserError: If there are none.
    """
    runs = [run for run in read_runs(directory) if run.source == "jsonl"]
    chosen = [run for run in runs if run.group == name]
    if not chosen:
        groups = ", ".join(sorted({run.group for run in runs if run.group})) or "none"
        raise UserError(f"--group {name}: no run in {directory} has it. Groups there: {groups}.")
    return Group(name, chosen)


@dataclass(frozen=True)
class Dashboard:
    """Workspace and report of a group.

    Attributes:
        group: The runs.
        entity: W&B user or team.
        project: W&B project.
    """

    group: Group
    entity: str
    project: str

    def save(self) -> dict[str, str]:
        """Send both to W&B.

        Returns:
            Addresses of the ``workspace`` and the ``report``.

        Raises:
            UserError: If W&B refuses.
        """
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        try:
            workspace = self._workspace().save()
            report = self._report(self.entity).save()
        # wandb-workspaces passes on whatever its transport throws.
        except (wandb.Error, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"W&B refuses the dashboard ({error}); with --dry_run it is written to a file."
            ) from error
        return {"workspace": str(workspace.url), "report": str(report.url)}

    def write(self, path: Path) -> None:
        """Write both as W&B's own JSON, without a network.

        The object has ``group``, ``runs`` (ids), ``workspace`` and ``report``, the latter with
        ``name``, ``entity``, ``project`` and ``spec``.
        """
        # A run set that names its project asks the server for the project's number.
        report, workspace = self._report(""), self._workspace()
        views = {
            "workspace": (workspace.name, workspace._to_model().spec),
            "report": (report.title, report._to_model().spec),
        }
        content: dict[str, Any] = {
            "group": self.group.name,
            "runs": [run.id for run in self.group.runs],
        }
        for kind, (name, spec) in views.items():
            content[kind] = {"name": name, "entity": self.entity, "project": self.project}
            content[kind]["spec"] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _workspace(self) -> Any:
        from wandb_workspaces import expr
        from wandb_workspaces import workspaces as ws

        shown = ws.RunsetSettings(
            filters=[expr.Metric("Group") == self.group.name],
            pinned_columns=[f"summary:{key}" for key in self.group.headlines[:8]],
        )
        sections = [
            ws.Section(name=title, panels=panels, is_open=title != "How it ran")
            for title, panels in _panels(self.group).items()
        ]
        name = f"millsight {self.group.name}"
        settings = ws.WorkspaceSettings(x_axis="step")
        return ws.Workspace(
            entity=self.entity,
            project=self.project,
            name=name,
            sections=sections,
            settings=settings,
            runset_settings=shown,
        )

    def _report(self, entity: str) -> Any:
        from wandb_workspaces import expr
        from wandb_workspaces.reports.v2 import interface as wr

        blocks: list[Any] = [wr.MarkdownBlock(_headline_table(self.group)), wr.TableOfContents()]
        for title, panels in _panels(self.group).items():
            runs = wr.Runset(
                entity=entity,
                project=self.project,
                name=self.group.name,
                filters=[expr.Metric("Group") == self.group.name],
            )
            blocks += [wr.H2(title), wr.PanelGrid(runsets=[runs], panels=panels)]
        return wr.Report(
            entity=self.entity,
            project=self.project,
            title=f"millsight {self.group.name}",
            description=f"{len(self.group.runs)} runs, written by millsight track dashboard",
            blocks=blocks,
            width="fluid",
        )


def _panels(group: Group) -> dict[str, list[Any]]:
    """Return panels by section, sections without a panel left out."""
    from wandb_workspaces.reports.v2 import interface as wr

    sections = {
        "Headline numbers": [_bars(key) for key in group.headlines],
        "Curves": [_curve(name, x_name) for name, x_name in group.curves.items()],
        "Pictures": [wr.MediaBrowser(title=n, media_keys=[n]) for n in group.pictures],
        "Tables": [wr.WeavePanelSummaryTable(table_name=name) for name in group.tables],
        "Step by step": [wr.LinePlot(title=k, x="step", y=[k]) for k in group.histories],
        "How it ran": [_bars(key) for key in group.plumbing],
    }
    for panels in sections.values():
        for index, panel in enumerate(panels):
            row, column = divmod(index, PANELS_ABREAST)
            panel.layout = wr.Layout(
                column * PANEL_WIDTH, row * PANEL_HEIGHT, PANEL_WIDTH, PANEL_HEIGHT
            )
    return {title: panels for title, panels in sections.items() if panels}


def _bars(key: str) -> Any:
    from wandb_workspaces.reports.v2 import interface as wr

    return wr.BarPlot(title=key, metrics=[wr.SummaryMetric(key)], orientation="h")


def _curve(name: str, x_name: str) -> Any:
    from wandb_workspaces.reports.v2 import interface as wr

    return wr.CustomChart(
        query={"summaryTable": {"tableKey": f"{name}_table"}},
        chart_name=LINE_SERIES,
        chart_fields={"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"},
        chart_strings={"title": name, "xname": x_name},
    )


def _headline_table(group: Group) -> str:
    keys = group.headlines
    lines = ["| run | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for run in group.runs:
        if any(key in run.summary for key in keys):
            cells = [_cell(run.summary.get(key)) for key in keys]
            lines.append(f"| {run.id} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _numeric(rows: Iterable[dict[str, Any]]) -> list[str]:
    found = dict.fromkeys(
        key for row in rows for key, value in row.items() if isinstance(value, int | float)
    )
    return list(found)
