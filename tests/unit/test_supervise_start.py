"""What a start that is refused leaves behind: one clear line, and no region."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from overround.config.schema import Capacity, Memory, Settings
from overround.errors import ConfigError, HostError
from overround.shm.names import list_runs
from overround.supervise import process as supervised
from overround.supervise.supervisor import Supervisor

NAME = f"test-refused-{os.getpid()}"


def leftovers() -> list[str]:
    return [run.instance for run in list_runs() if run.instance == NAME]


def test_a_folder_that_cannot_be_made_is_named_and_leaves_no_region(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    settings = Settings(instance=NAME, run_dir=tmp_path / "file", capacity=Capacity(markets=4))
    with pytest.raises(ConfigError, match="name a folder we may write"):
        Supervisor(settings)
    assert not leftovers()


def test_a_library_that_is_missing_leaves_no_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervised, "find_jemalloc", lambda: None)
    settings = Settings(
        instance=NAME,
        run_dir=tmp_path,
        capacity=Capacity(markets=4),
        memory=Memory(jemalloc="on"),
    )
    with pytest.raises(HostError, match="libjemalloc2"):
        Supervisor(settings)
    assert not leftovers()
