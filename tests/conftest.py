"""Fixtures every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine may take its time over a single example; the run's own limit ends what hangs.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recordings that may not be redistributed; skips where it is absent."""
    named = os.environ.get("OVERROUND_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set OVERROUND_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="module")
def untraced() -> Iterator[None]:
    """Stops counting coverage: for long sums over code whose lines quicker tests count."""
    module = sys.modules.get("coverage")
    coverage = module.Coverage.current() if module else None
    if coverage:
        coverage.stop()
    yield
    if coverage:
        coverage.start()
