"""Hypothesis profiles: HYPOTHESIS_PROFILE=long draws fresh examples, many of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A shared machine is slow at times: no deadline, and no complaint about slow generation.
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=20, derandomize=True, database=None, **QUIET)
settings.register_profile("long", max_examples=300, print_blob=True, **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# ---- real data ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """data_folder("mnist") is where the real files of a set are; without them the test skips."""

    def of_set(name: str) -> Path:
        root = os.environ.get("NNSEQ_DATA")
        if not root:
            pytest.skip("no data folder: NNSEQ_DATA is not set")
        folder = Path(root, name)
        if not folder.is_dir():
            pytest.skip(f"no data folder: NNSEQ_DATA has no {name}")
        return folder

    return of_set


# ---- skips ------------------------------------------------------------------------------------

ALLOWED_SKIPS = ("no GPU", "no data folder")


class StrictSkips:
    """With NNSEQ_STRICT_SKIPS set, a test skipped for another reason fails the run."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        if report.skipped and not any(allowed in reason for allowed in ALLOWED_SKIPS):
            self.refused.append(f"{report.nodeid}: {reason}")

    pytest_runtest_logreport = pytest_collectreport = note

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.refused:
            terminalreporter.write_line(f"skipped for a reason that is not allowed: {line}")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("NNSEQ_STRICT_SKIPS"):
        config.pluginmanager.register(StrictSkips())
