"""The log: one line of JSON for each record, so that nothing in it can look like another line."""

import json
import logging
import logging.config
from datetime import UTC, datetime

LOGGER = logging.getLogger("modelflight.receiver")


class JsonLines(logging.Formatter):
    """A record's time, level and message, and its fields in `record.told`; all but ASCII is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        told = getattr(record, "told", {})
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **told,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class WithoutWarnings(logging.Filter):
    """Leaves warnings out: uvicorn's are of malformed requests, and any sender can cause any number."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        return record.levelno != logging.WARNING


def log_lines() -> None:
    """Lets this process write such lines to standard error."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"without_warnings": {"()": WithoutWarnings}},
            "formatters": {"lines": {"()": JsonLines}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "root": {"handlers": ["stderr"], "level": "INFO"},
            "loggers": {
                "httpx": {"level": "WARNING"},
                "httpcore": {"level": "WARNING"},
                "uvicorn.error": {"filters": ["without_warnings"]},
            },
        }
    )
