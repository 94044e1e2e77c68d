"""millsight doctor: what is wrong with this machine, or with any node of a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from millsight.platform.checks import Check, check_machine
from millsight.platform.commands import Outcome

CLOCK_TOLERANCE_SECONDS = 5.0


@dataclass
class DoctorConfig:
    """What to look at.

    Attributes:
        cluster: Look at every node of the Ray there: ``auto``, HOST:PORT from a node of it, or
            http://HOST:8265 from anywhere. By default only this machine.
        directory: Where runs will be written.
        json: Print the checks as JSON.
    """

    cluster: str | None = None
    directory: str = "."
    json: bool = False


def doctor(config: DoctorConfig) -> Outcome:
    """Check a machine or a cluster; the exit code is 1 if a check fails.

    Raises:
        UserError: If no Ray answers at ``cluster``.
    """
    if config.cluster is not None and config.cluster.startswith(("http://", "https://")):
        return _submit(config, config.cluster)
    if config.cluster is None:
        nodes = {"this machine": check_machine(config.directory)}
    else:
        nodes = _check_nodes(config.cluster, config.directory)
    if config.json:
        print(json.dumps({node: [asdict(c) for c in found] for node, found in nodes.items()}))
    else:
        _print(nodes)
    failed = any(check.status == "fail" for found in nodes.values() for check in found)
    return Outcome(int(failed))


def _submit(config: DoctorConfig, address: str) -> Outcome:
    from millsight.platform.jobs import SubmitConfig, submit

    words = ["doctor", "--cluster", "auto", "--directory", config.directory]
    words += ["--json=true"] if config.json else []
    return submit(SubmitConfig(words, address=address, again=True))


def _check_nodes(address: str, directory: str) -> dict[str, list[Check]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from millsight.platform.executors.ray_cluster import connected

    with connected(address):
        remote = ray.remote(num_cpus=0)(_check_node)
        asked = {}
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["Alive"]:
                here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                call = remote.options(scheduling_strategy=here).remote(directory)
                asked[f"{node['NodeManagerAddress']} {node['NodeID'][:6]}"] = call
        return {name: _answer(call) for name, call in asked.items()}


def _check_node(directory: str) -> tuple[list[Check], float]:
    import time

    return check_machine(directory), time.time()


def _answer(call: Any) -> list[Check]:
    """Wait for one node; its clock is compared with this one's at the moment it answers."""
    import time

    import ray

    asked = time.time()
    try:
        checks, clock = ray.get(call, timeout=120)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        remedy = "install the same millsight on this node as here"
        return [Check("millsight runs there", "fail", reason, remedy)]
    apart = max(asked - clock, clock - time.time(), 0.0)
    late = apart > CLOCK_TOLERANCE_SECONDS
    remedy = "let the nodes take their time from one server (NTP)" if late else ""
    return [*checks, Check("clock", "warn" if late else "ok", f"{apart:.0f} s apart", remedy)]


def _print(nodes: Mapping[str, Sequence[Check]]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for node, checks in nodes.items():
        console.print(f"[bold]{escape(node)}[/bold]")
        for number, check in enumerate(checks, 1):
            status = f"[{colours[check.status]}]{check.status:4}[/]"
            console.print(f"{number:3}  {status}  {check.name}: {escape(check.detail)}")
            if check.remedy:
                console.print(f"           -> {escape(check.remedy)}")
    statuses: list[str] = [check.status for checks in nodes.values() for check in checks]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in colours)
    console.print(f"{len(nodes)} machine{'s' if len(nodes) != 1 else ''}: {counts}")
