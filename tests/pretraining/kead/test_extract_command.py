"""``millsight extract`` as a user runs it, on real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from damaged_pictures import BODIES, HEADERS, encode, steel

from millsight.evaluation.anomaly_maps import read_maps
from millsight.platform import cli
from millsight.platform.artifacts import open_artifact
