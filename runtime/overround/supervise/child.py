"""Where every supervised process begins: join, take its seat, run the role, leave.

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
from overround.observe.log import configure_logging
from overround.seat.take import SHARED_VARIABLE, honour, publish, take
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
    row = member.row
    try:
        taken = take(row, settings, os.environ.pop(SHARED_VARIABLE, ""))
        member.on_ready = lambda: publish(member.meters, member.segments, row, taken)
        log.info(
            "started", role=row.role, cpu=row.cpu, wait=row.wait.name.lower(),
            jemalloc=taken.jemalloc, isolated=taken.isolated, real_time=taken.fifo,
        )  # fmt: skip
        for refusal in taken.refused:
            log.warning("not to be had here", wanted=refusal)
        return _role(member.role)(member, honour(settings, row))
    except OverroundError as error:
        log.error("stopped", error=str(error))
        return error.exit_status
    finally:
        member.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
