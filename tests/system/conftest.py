"""The system tests' fixtures, and the logs that a failing test shows."""

from collections.abc import Generator

import pytest
from tests.system.fixtures.kubernetes import *  # noqa: F403

from tests.system.fixtures.base import Testbed, testbed
from tests.system.fixtures.surroundings import *  # noqa: F403

__all__ = ["testbed"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last log lines of the components that ran, and the cluster's events, to a failure's report."""
    report = yield
    found = getattr(item, "funcargs", {}).get("testbed")
    if report.failed and isinstance(found, Testbed):
        for component in found.components:
            report.sections.append((component.name, component.log_tail()))
    return report
