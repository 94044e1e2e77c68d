"""Where a stage runs: in this process, or on Ray actors."""

from millsight.platform.executors.build import ExecutionConfig
from millsight.platform.executors.executor import ExecutionReport, Executor

__all__ = ["ExecutionConfig", "ExecutionReport", "Executor"]
