"""Structured logs: readable on a terminal, JSON lines everywhere else, always on stderr.

Standard output belongs to reports. Every line carries process and mode.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(process: str, mode: str, *, level: int = logging.INFO) -> None:
    """Set up logging of this process; call once, before the first line is logged."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process, mode=mode)
