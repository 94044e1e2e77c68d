"""What an operator may set of a service: one dataclass for the command line and recipes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class ServiceConfig:
    """Where a service listens, where it keeps its things, and how much it takes on.

    Attributes:
        host: Address to listen on; beyond this machine only once a token exists.
        port: TCP port.
        folder: Directory on this machine's own disk for jobs, tokens and uploads.
        workers: Jobs that run at once.
        lease_s: A killed worker's job begins again after so many seconds.
        max_body_mib: Largest request body, in MiB, except for uploads.
        max_upload_mib: Largest upload, in MiB.
        max_active_requests: Requests at once; above it clients are told to come back.
        max_event_streams: Open progress streams at once.
        requests_per_second: Per token, on the long run.
        request_burst: Per token, at once.
        max_queued: Jobs queued or running in all.
        max_queued_per_token: Jobs queued or running of one token.
        max_cost_per_token: Cost, in pictures, of one token's queued and running jobs.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    folder: Path = Path("millsight-service")
    workers: int = 1
    lease_s: float = 30.0
    max_body_mib: float = 1.0
    max_upload_mib: float = 2048.0
    max_active_requests: int = 128
    max_event_streams: int = 200
    requests_per_second: float = 50.0
    request_burst: int = 200
    max_queued: int = 1000
    max_queued_per_token: int = 100
    max_cost_per_token: float = 1_000_000.0
