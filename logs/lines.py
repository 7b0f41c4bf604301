"""One line an event on stderr, for people or as JSON: what structlog says, and what the libraries say to `logging`."""

from collections.abc import Mapping
from typing import Any, Literal

import structlog

Format = Literal["console", "json"]


def config(log_format: Format, level: str, quieter: Mapping[str, str]) -> dict[str, Any]:
    """Sets structlog up, and returns what `logging.config.dictConfig` takes to do the same for the standard library.

    `quieter`: the least level of loggers that say too much, by name. An exception is told by its traceback alone: local
    variables hold keys, passwords and what students did.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,  # what request it is about, and what trace
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Where rich is installed, structlog's own choice would show the local variables.
    renderer: Any = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
                "foreign_pre_chain": shared,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {name: {"level": least} for name, least in quieter.items()},
    }
