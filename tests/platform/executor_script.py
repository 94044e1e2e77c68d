"""A driver of its own process, to be killed: executor_script.py DIRECTORY ADDRESS."""

from __future__ import annotations

import sys
from pathlib import Path

from executor_stages import CountingStage, make_samples

from millsight.platform.executors.build import ExecutionConfig
from millsight.platform.shards import ShardStore, make_shards


def main(directory: Path, address: str) -> None:
    executor = ExecutionConfig(executor="ray", workers=2, address=address).build()
    shards = make_shards(make_samples(60), 4)
    stage = CountingStage(directory / "markers", seconds=0.2)
    store = ShardStore(str(directory / "store"))
    report = executor.run(stage, shards, store)
    print(f"landed {report.landed} skipped {report.skipped}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
