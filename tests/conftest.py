"""What holds for every test run: a test that did not run is named, and with CI=true that is a failure."""

import logging
import os
from collections.abc import Iterator

import pytest

from mesh.testing.kafka import Kafka, kafka_is_installed, running_kafka

_SKIPPED: list[str] = []


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[Kafka]:
    """One broker for all tests of a run; each takes topics of its own."""
    if not kafka_is_installed():
        pytest.skip("no Kafka here: run 'make servers'")
    with running_kafka() as server:
        yield server


@pytest.fixture(autouse=True)
def log_of_ones_own() -> Iterator[None]:
    """What a test does to the log of the process, such as to send it to a stream that ends with the test, ends too."""
    root = logging.getLogger()
    handlers, level = tuple(root.handlers), root.level
    yield
    for handler in tuple(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that where several run at once none is left to run alone at the end."""
    items.sort(key=lambda item: "/faults/" not in item.path.as_posix())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _SKIPPED.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _SKIPPED and os.environ.get("CI") == "true" and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _SKIPPED:
        terminalreporter.section("did not run")
        for name in _SKIPPED:
            terminalreporter.write_line(name)
        if os.environ.get("CI") == "true":
            terminalreporter.write_line("with CI=true every test must run: this counts as a failure", red=True)
