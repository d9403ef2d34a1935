"""One quiet exchange for all tests of fault switches: each leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oracle.sim_process import SimProcess, running


@pytest.fixture(scope="session")
def fault_sim() -> Iterator[SimProcess]:
    with running("--rate", "0", "--edge-every", "0") as exchange:
        yield exchange
