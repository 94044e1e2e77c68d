"""``millsight track sync``, ``dashboard`` and ``curves``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from millsight.platform import network, storage
from millsight.platform.commands import EXIT_FAILED, Outcome
from millsight.platform.errors import UserError

if TYPE_CHECKING:
    from millsight.platform.tracking.sync import Account, Missing
    from millsight.platform.tracking.wandb_api import WandbApi


@dataclass(kw_only=True)
class SyncConfig:
    """Which runs to push.

    Attributes:
        directory: Where tracking wrote.
        entity: W&B user or team; default: the key's own.
        timeout: Seconds for one folder.
    """

    directory: str = "millsight-runs/tracking"
    entity: str | None = None
    timeout: float = 600.0


@dataclass(kw_only=True)
class DashboardConfig:
    """Which runs to show, and where.

    Attributes:
        group: The runs' group: a recipe's name, or what ``--tracking.group`` said.
        directory: Where tracking wrote; the panels are made for what the runs there logged.
        project: W&B project.
        entity: W&B user or team; default: the key's own.
        dry_run: Write what would be sent to ``output``, and send nothing.
        output: JSON file with the workspace and the report.
    """

    group: str
    directory: str = "millsight-runs/tracking"
    project: str = "millsight"
    entity: str | None = None
    dry_run: bool = False
    output: str | None = None


@dataclass(kw_only=True)
class CurvesConfig:
    """Which runs to draw.

    Attributes:
        runs: ``LABEL=RUN`` or ``RUN``: a run's id, or the beginning of its fingerprint.
        metrics: Names of what was logged step by step; by default all that the runs share.
        directory: Where tracking wrote.
        output: SVG file.
    """

    runs: list[str]
    metrics: list[str] = field(default_factory=list)
    directory: str = "millsight-runs/tracking"
    output: str = "curves.svg"


def sync(config: SyncConfig) -> Outcome:
    """Push offline runs to W&B folder by folder, and count the rows that arrived."""
    from millsight.platform.tracking.sync import find_runs, missing_rows, push

    runs = find_runs(Path(config.directory))
    api = _api()
    own = api.entity()
    entity = config.entity or own
    accounts, missing = [], []
    for folders in runs:
        for account in push(folders, api, entity, config.timeout):
            _print_account(account)
            accounts.append(account)
        lost = missing_rows(folders, Path(config.directory))
        missing += [lost] if lost else []
    return _close(accounts, missing)


def dashboard(config: DashboardConfig) -> Outcome:
    """Build a W&B workspace and a report for a group of runs."""
    from millsight.platform.tracking.dashboard import Dashboard, find_group

    shown = find_group(Path(config.directory), config.group)
    if config.dry_run:
        board = Dashboard(shown, config.entity or "ENTITY", config.project)
        output = Path(config.output or f"dashboard-{config.group}.json")
        board.write(output)
        print(f"{output}: workspace and report of {len(shown.runs)} runs, nothing sent")
        return Outcome()
    api = _api()
    own = api.entity()
    board = Dashboard(shown, config.entity or own, config.project)
    for what, url in board.save().items():
        print(f"{what}: {url}")
    if config.output:
        board.write(Path(config.output))
    return Outcome()


def curves(config: CurvesConfig) -> Outcome:
    """Draw what runs logged step by step, side by side, as one SVG; W&B is not needed."""
    from millsight.platform.tracking.curves import choose, draw

    runs = choose(config.directory, config.runs)
    storage.write_bytes(config.output, draw(runs, config.metrics).encode())
    print(config.output)
    return Outcome()


def _api() -> WandbApi:
    from millsight.platform.tracking.wandb_api import WandbApi, api_key, base_url

    if network.is_forbidden():
        raise UserError("MILLSIGHT_OFFLINE forbids the network: unset it to talk to W&B.")
    key = api_key()
    if key is None:
        raise UserError("W&B needs a key: set WANDB_API_KEY or run `wandb login`.")
    return WandbApi(base_url(), key)


def _print_account(account: Account) -> None:
    print(f"{account.folder.name}: {account.rows} rows, {account.arrived} arrived, {account.state}")
    if account.note:
        print(f"  {account.note}")


def _close(accounts: list[Account], missing: list[Missing]) -> Outcome:
    for lost in missing:
        print(
            f"{lost.run_id}: {lost.missing} of the {lost.steps} steps in run.jsonl are in none "
            "of its W&B files"
        )
    rows, arrived = (sum(getattr(a, name) for a in accounts) for name in ("rows", "arrived"))
    good = sum(account.whole for account in accounts)
    print(f"{good} of {len(accounts)} folders whole on the server, {arrived} of {rows} rows")
    return Outcome(EXIT_FAILED if missing or good < len(accounts) else 0)
