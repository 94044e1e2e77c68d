"""The service's OpenAPI schema, checked in beside this file.

``python -m millsight.generators.service.openapi`` renews it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from millsight.generators.service.app import create_generation_app
from millsight.generators.service.config import ServeGenerationConfig

FILE = Path(__file__).with_name("openapi.json")


def openapi_text() -> str:
    """Return the schema as it is checked in."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_generation_app(ServeGenerationConfig(folder=Path(folder)))
        return json.dumps(app.openapi(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(openapi_text(), encoding="utf-8")
