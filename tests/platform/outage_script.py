"""Logs a run to W&B; says on stdout when it is open, and how long W&B held it.

Usage: python outage_script.py DIRECTORY (start | middle)
"""

from __future__ import annotations

import json
import sys
import time

from millsight.platform.tracking import RunInfo, TrackingConfig, track

STEPS = 200


def main(directory: str, when: str) -> None:
    begun = time.monotonic()
    with track(TrackingConfig(directory=directory), RunInfo("train", "b" * 64)) as tracker:
        tracker.log({"loss": 0.0})
        if when == "middle":
            print("open", flush=True)
            input()
            begun = time.monotonic()
        for step in range(1, STEPS):
            tracker.log({"loss": float(step)})
        logged = time.monotonic()
    ended = time.monotonic()
    print(json.dumps({"log": logged - begun, "finish": ended - logged}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
