"""Helps, hurts, or cannot be told: one sentence per arm, from paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from millsight.pretraining.downstream.comparison import ALL

Verdict = Literal["helps", "hurts", "cannot be told"]
SAID: dict[Verdict, str] = {
    "helps": "helps",
    "hurts": "hurts",
    "cannot be told": "cannot be told from {reference}",
}


@dataclass(frozen=True)
class Finding:
    """What became of an arm at one number of shots.

    Attributes:
        arm: Its name.
        shots: Labelled pictures per class; ``None`` for all.
        verdict: ``helps`` or ``hurts`` where both intervals leave zero on one side.
        text: The difference with its intervals, in words.
        low: Lower end of the interval of the mean difference over seeds; NaN for one seed.
        high: Its upper end.
    """

    arm: str
    shots: int | None
    verdict: Verdict
    text: str
    low: float
    high: float


def find(row: Mapping[str, Any], metric: str, heading: str, confidence: float) -> Finding:
    """Judge a paired difference.

    The interval over pictures says what other test pictures of the same line would do to it, and
    that over seeds (Student's t) what other draws and trainings would. Neither knows of the other's
    chance, so both have to leave zero on one side.

    Args:
        row: A difference of ``compare_rows``.
        metric: Name of the one that decides.
        heading: Its heading.
        confidence: Of the interval over seeds.
    """
    found = row[metric]
    arm, shots, gaps = str(row["start"]), row["labelled"], found["seeds"]
    if found["value"] is None:
        return Finding(arm, shots, "cannot be told", f"{heading} undefined", math.nan, math.nan)
    low, high = seed_interval(gaps, confidence)
    over_pictures = f"[{found['low']:+.3f}, {found['high']:+.3f}] over pictures"
    over_seeds = (
        f"[{low:+.3f}, {high:+.3f}] over {len(gaps)} seeds" if len(gaps) > 1 else "one seed only"
    )
    text = f"{heading} {found['value']:+.3f}, {over_pictures}, {over_seeds}"
    verdict: Verdict = "cannot be told"
    if found["low"] > 0 and low > 0:
        verdict = "helps"
    elif found["high"] < 0 and high < 0:
        verdict = "hurts"
    return Finding(arm, shots, verdict, text, low, high)


def seed_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return Student's interval of the mean of few values; NaN for one value.

    Args:
        values: One per seed.
        confidence: In (0, 1).
    """
    if len(values) < 2:
        return math.nan, math.nan
    quantile = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    reach = quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - reach, mean + reach


def sentences(findings: Sequence[Finding], reference: str) -> list[str]:
    """Return one sentence per arm, over all shots."""
    return [
        _sentence([one for one in findings if one.arm == arm], reference)
        for arm in dict.fromkeys(one.arm for one in findings)
    ]


def _sentence(findings: Sequence[Finding], reference: str) -> str:
    clauses = []
    for verdict, words in SAID.items():
        of_verdict = [one for one in findings if one.verdict == verdict]
        shown = [f"{one.shots or ALL} shots ({one.text})" for one in of_verdict]
        if shown:
            clauses.append(f"{words.format(reference=reference)} at {_join(shown)}")
    return f"**{findings[0].arm}** {'; '.join(clauses)}."


def _join(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
