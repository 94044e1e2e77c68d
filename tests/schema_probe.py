"""Requests made of an application's own schema; none may be answered otherwise than it says."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI


def probe_schema(app: FastAPI) -> int:
    """Send a few requests to every operation; returns the number of operations.

    The application should be one of the test's own: schemathesis starts and ends it with every
    request.
    """
    import schemathesis

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        _probe(operation)
    return len(operations)


def _probe(operation: Any) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance

    @given(case=operation.as_strategy())
    @settings(
        max_examples=4,
        deadline=None,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def probe(case: Any) -> None:
        case.call_and_validate(checks=[not_a_server_error, response_schema_conformance])

    probe()
