"""``millsight serve generation``."""

from __future__ import annotations

from functools import partial

from millsight.generators.service.config import ServeGenerationConfig
from millsight.platform.commands import Outcome


def serve(config: ServeGenerationConfig) -> Outcome:
    """Serve generation over HTTP: ask for a set, watch it come, pick it over, take it away."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    shown = f"http://{config.host or '0.0.0.0'}:{config.port}"  # noqa: S104 - only printed
    if config.server == "ray":
        from millsight.generators.service.ray_replicas import NAME, make_application
        from millsight.platform.services.ray_serve import run

        print(f"millsight generation service on Ray Serve: {shown}", flush=True)
        run(NAME, partial(make_application, config), config)
    else:
        from millsight.generators.service.app import create_generation_app
        from millsight.platform.services.binding import run_service

        app = create_generation_app(config)
        print(f"millsight generation service: {shown}", flush=True)
        run_service(app, config)
    return Outcome()
