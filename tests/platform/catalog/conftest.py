from __future__ import annotations

import sys
from pathlib import Path

# The damaged pictures have one importable name in all tests here.
sys.path.insert(0, str(Path(__file__).parent))
