"""Structured logs: one JSON object per line on standard error, or coloured lines on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Final

import structlog

# The library's default shows local variables, and among those are identities, passwords and signed URLs.
_traceback_without_locals: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logs(
    *, level: str = "info", as_json: bool | None = None, also: Sequence[structlog.typing.Processor] = ()
) -> None:
    """For the whole process.  JSON unless standard error is a terminal, or as told; `also` sees every line before it is
    rendered."""
    json_lines = not sys.stderr.isatty() if as_json is None else as_json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = (
        [_traceback_without_locals, structlog.processors.JSONRenderer()]
        if json_lines
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, *also, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # nats-py and aiohttp log through the standard library; what they call errors is ours to report already.
    logging.basicConfig(stream=sys.stderr, level=logging.CRITICAL)
