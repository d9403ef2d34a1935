"""Where every supervised process begins: pin, join, run the role, leave.

``python -m overround.supervise.child ROSTER PROCESS DIRECTORY`` is started by the supervisor
in a fresh interpreter: nothing is inherited, neither locks nor rings nor threads.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from overround.config.schema import Settings
from overround.errors import OverroundError
from overround.host.allocator import jemalloc_version
from overround.observe.log import configure_logging
from overround.shm.member import Member

SETTINGS_FILE = "settings.json"
"""The resolved settings of the run, written by the supervisor; it holds no secret."""

Run = Callable[[Member, Settings], int]


_MODULES = {
    "ingress": "overround.ingress.process",
    "detector": "overround.detect.process",
    "executor": "overround.execute.process",
}


def _role(role: str) -> Run:
    # Imported on demand: a process pays only for what its role needs.
    run: Run = importlib.import_module(_MODULES[role]).run
    return run


def main(arguments: list[str]) -> int:
    """Run one process of an instance; returns its exit status."""
    roster_name, process_name, directory = arguments
    run_dir = Path(directory)
    settings = Settings.model_validate_json((run_dir / SETTINGS_FILE).read_text(encoding="utf-8"))
    configure_logging(process_name, settings.mode)
    log = structlog.get_logger()
    try:
        member = Member.join(roster_name, process_name, run_dir)
    except OverroundError as error:
        log.error("cannot join", error=str(error))
        return error.exit_status
    cpu = next(row.cpu for row in member.roster.processes() if row.name == process_name)
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})
    # Asked of the allocator itself: a preload that failed is only a line on standard error.
    log.info("started", role=member.role, cpu=cpu, jemalloc=jemalloc_version())
    try:
        return _role(member.role)(member, settings)
    except OverroundError as error:
        log.error("stopped", error=str(error))
        return error.exit_status
    finally:
        member.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
