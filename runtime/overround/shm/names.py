"""Names of segments, and the removal of those whose run is dead.

``/ovr-<instance>-<run id, 16 hex digits>-<key>``: a run never meets the segments of another, and
leftovers can be told from the living by the lease of the run's roster, which the kernel frees
with its supervisor. (Segments without a roster, as in tests, live as long as any has an owner.)
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import posix_ipc

from overround.errors import ConfigError
from overround.shm.segment import lease_is_free

_FOLDER = Path("/dev/shm")
_NAME = re.compile(r"ovr-(?P<instance>[A-Za-z0-9_.-]+?)-(?P<run>[0-9a-f]{16})-(?P<key>[a-z0-9-]+)")
_KEY_OF_ROSTER = "roster"
_NAME_BYTES_MAX = 95
"""Room of the roster's ``segment`` field, less its closing zero."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run found on this machine: its segments, and whether its roster has an owner."""

    instance: str
    run_id: int
    segments: tuple[str, ...] = field(default=())
    alive: bool = False


def segment_name(instance: str, run_id: int, key: str) -> str:
    """Return the name of a region; ``key`` such as ``"board-0"``, lower case.

    Raises ConfigError for an instance or key that cannot be part of a name.
    """
    name = f"ovr-{instance}-{run_id:016x}-{key}"
    if not _NAME.fullmatch(name) or len(name) >= _NAME_BYTES_MAX:
        raise ConfigError(
            f"{name!r} is no name for a shared region: use letters, digits, '_', '.', '-' "
            f"and fewer than {_NAME_BYTES_MAX} characters"
        )
    return "/" + name


def list_runs() -> list[Run]:
    """Return every run with segments of ours, alive or dead, ordered by instance and run id."""
    found: dict[tuple[str, int], list[str]] = {}
    for path in sorted(_FOLDER.glob("ovr-*")):
        match = _NAME.fullmatch(path.name)
        if match and os.access(path, os.R_OK | os.W_OK):
            run = (match["instance"], int(match["run"], 16))
            found.setdefault(run, []).append("/" + path.name)
    return [
        Run(instance, run_id, tuple(names), alive=_is_alive(instance, run_id, names))
        for (instance, run_id), names in sorted(found.items())
    ]


def _is_alive(instance: str, run_id: int, names: list[str]) -> bool:
    roster = segment_name(instance, run_id, _KEY_OF_ROSTER)
    deciding = [roster] if roster in names else names
    return not all(lease_is_free(name) for name in deciding)


def remove_stale(
    now_epoch_s: float, grace_s: float = 5.0, *, instance: str | None = None
) -> list[str]:
    """Remove the segments of dead runs (of one instance, or of all); return their names.

    A run is dead when nobody holds the lease of its roster, or of any segment if there is no
    roster. One without a roster, or with an empty one, may just be starting: it is left alone
    until its youngest segment is ``grace_s`` old.
    """
    removed: list[str] = []
    for run in list_runs():
        roster = segment_name(run.instance, run.run_id, _KEY_OF_ROSTER)
        starting = _size(roster) == 0 and _age_s(run, now_epoch_s) < grace_s
        if run.alive or starting or instance not in (None, run.instance):
            continue
        # The roster goes last: an interrupted removal leaves a run that still reads as dead.
        for name in sorted(run.segments, key=lambda name: name == roster):
            with contextlib.suppress(posix_ipc.ExistentialError):
                posix_ipc.unlink_shared_memory(name)
                removed.append(name)
    return removed


def _size(name: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return (_FOLDER / name[1:]).stat().st_size
    return 0


def _age_s(run: Run, now_epoch_s: float) -> float:
    youngest = 0.0
    for name in run.segments:
        with contextlib.suppress(FileNotFoundError):
            youngest = max(youngest, (_FOLDER / name[1:]).stat().st_ctime)
    return now_epoch_s - youngest
