"""Runs the receiver until it is told to stop: `python -m deployments.receiver`."""

import signal
import sys
from types import FrameType

import uvicorn

from deployments.receiver.app import create_app
from deployments.receiver.connections import impatient
from deployments.receiver.log import log_lines
from deployments.receiver.settings import Settings
from tasks.errors import InvalidInput

_FINISH_WITHIN = 10  # seconds that deliveries have left when it is told to stop


def main() -> None:
    """Listens where the settings say."""
    log_lines()
    try:
        settings = Settings.from_environment()
    except InvalidInput as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    signal.signal(signal.SIGTERM, _stopped)
    signal.signal(signal.SIGINT, _stopped)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=impatient(),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_FINISH_WITHIN,
    )


def _stopped(_: int, __: FrameType | None) -> None:
    """When uvicorn has finished, it hands on the signal that told it to."""
    sys.exit(0)


if __name__ == "__main__":
    main()
