"""``millsight serve evaluation``."""

from __future__ import annotations

from functools import partial

from millsight.evaluation.service.config import ServeEvaluationConfig
from millsight.platform.commands import Outcome


def serve(config: ServeEvaluationConfig) -> Outcome:
    """Serve evaluation over HTTP: submit predictions or a model, get results, compare runs."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    shown = f"http://{config.host or '0.0.0.0'}:{config.port}"  # noqa: S104 - only printed
    if config.server == "ray":
        from millsight.evaluation.service.app import NAME, create_evaluation_app
        from millsight.platform.services.ray_serve import application, run

        print(f"millsight evaluation service on Ray Serve: {shown}", flush=True)
        run(NAME, partial(application, NAME, create_evaluation_app, config), config)
    else:
        from millsight.evaluation.service.app import create_evaluation_app
        from millsight.platform.services.binding import run_service

        app = create_evaluation_app(config)
        print(f"millsight evaluation service: {shown}", flush=True)
        run_service(app, config)
    return Outcome()
