"""The system tests' fixtures, and the logs that a failing test shows."""

from collections.abc import Generator

import pytest

from tests.system.fixtures.base import STARTED, testbed
from tests.system.fixtures.kubernetes import *  # noqa: F403
from tests.system.fixtures.picture import *  # noqa: F403
from tests.system.fixtures.stage import *  # noqa: F403
from tests.system.fixtures.surroundings import *  # noqa: F403
from tests.system.fixtures.up import *  # noqa: F403

__all__ = ["testbed"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option for pictures of pages."""
    parser.addoption(
        "--screenshots", metavar="DIR", help="leave the documentation's pictures of pages in DIR"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure's report the last log lines of all components, and the cluster's events."""
    report = yield
    if report.failed:
        for component in item.config.stash.get(STARTED, ()):
            report.sections.append((component.name, component.log_tail()))
    return report
