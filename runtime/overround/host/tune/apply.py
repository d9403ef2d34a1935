"""Turning knobs, and turning them back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from overround.errors import HostError
from overround.host.tree import Tree
from overround.host.tune import coalescing, hold
from overround.host.tune.diary import Change, Diary, read_changes
from overround.host.tune.knob import Knob, load_knobs
from overround.host.tune.plan import Step

__all__ = ["apply", "revert"]


def apply(tree: Tree, steps: Iterable[Step], say: Callable[[str], None]) -> int:
    """Carry out the steps that are due; return how many files were changed.

    Raises HostError if one is refused: then everything this call changed was put back first.
    """
    changed = 0
    with Diary(tree) as diary:
        before = diary.changes()
        for step in steps:
            if not step.due:
                continue
            try:
                _turn(tree, diary, step)
            except (OSError, HostError) as error:
                cause = error.strerror if isinstance(error, OSError) else str(error)
                if step.knob.refusal == "skip":
                    say(f"{step.knob.name}: {step.path} stays as it is: {cause}")
                    continue
                mine = diary.changes()[len(before) :]
                left = _undo(tree, diary, mine, say)
                diary.keep(before + left)
                raise HostError(
                    f"{step.knob.name}: {step.path}: {cause}; "
                    + (f"{len(left)} changes could not be put back" if left else "all put back")
                ) from error
            changed += 1
            say(f"{step.knob.name}: {step.path} = {step.wanted!r}, was {step.now!r}")
        if not changed:
            diary.keep(before)
    return changed


def revert(tree: Tree, say: Callable[[str], None]) -> int:
    """Undo everything that was applied, latest first; return how many files were put back.

    Raises HostError if some could not be: those stay in the diary for the next try.
    """
    if not read_changes(tree):
        return 0  # and no folder of ours on a machine that was never tuned
    with Diary(tree) as diary:
        changes = diary.changes()
        left = _undo(tree, diary, changes, say)
        diary.keep(left)
    if left:
        raise HostError(f"{len(left)} of {len(changes)} changes could not be put back: try again")
    return len(changes)


def _turn(tree: Tree, diary: Diary, step: Step) -> None:
    knob, path, wanted = step.knob, step.path, step.wanted
    assert wanted is not None
    if knob.kind == "dropin":
        folder = str(PurePosixPath(path).parent)
        if not tree.at(folder).exists():
            diary.note(knob.name, "folder", folder, None, "")
            tree.at(folder).mkdir(mode=0o755)
    diary.note(knob.name, knob.kind, path, step.now, wanted)
    if knob.kind == "dropin":
        tree.replace(path, wanted)
    elif knob.kind == "hold":
        _hold(tree, path, wanted)
    elif knob.kind == "ethtool":
        coalescing.write(path.split("/")[4], wanted)
    else:
        tree.write(path, wanted)
        seen = tree.read(path) or ""
        if not knob.same(seen, wanted):
            raise HostError(f"wrote {wanted!r}, it shows {seen.strip()!r}")


def _hold(tree: Tree, path: str, value: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", hold.__name__, str(tree.at(path)), value],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != hold.HELD:
            text = holder.stderr.read().decode().strip()
            raise HostError(text.splitlines()[-1] if text else "the holder died")
        holder.returncode = 0  # it outlives us: nobody waits for it


def _undo(
    tree: Tree, diary: Diary, changes: list[Change], say: Callable[[str], None]
) -> list[Change]:
    """Undo changes, latest first; return those that could not be, oldest first."""
    knobs = {knob.name: knob for knob in load_knobs()}
    left: list[Change] = []
    for change in reversed(changes):
        if change.undone_by_boot(diary.boot):
            say(f"{change.knob}: {change.path} was undone by a restart")
            continue
        try:
            if _put_back(tree, change, knobs.get(change.knob)):
                say(f"{change.knob}: {change.path} is back to {change.before!r}")
        except (OSError, HostError) as error:
            say(f"{change.knob}: {change.path} could not be put back: {error}")
            left.insert(0, change)
    return left


def _put_back(tree: Tree, change: Change, knob: Knob | None) -> bool:
    """Undo one change; False if there was nothing to undo."""
    path, before = change.path, change.before
    if change.kind == "folder":
        with contextlib.suppress(FileNotFoundError):
            tree.at(path).rmdir()
        return True
    if change.kind == "hold":
        found = hold.holders(tree, path)
        for pid in found:
            os.kill(pid, signal.SIGTERM)
        return bool(found)
    if change.kind == "ethtool":
        coalescing.write(path.split("/")[4], before or "")
        return True
    now = tree.read(path)
    if now == before:
        return False
    if before is None:
        tree.at(path).unlink()
    elif change.kind == "dropin":
        tree.replace(path, before)
    else:
        tree.write(path, knob.plain(before) if knob is not None else before)
        if tree.read(path) != before:  # a plain file shows what it is given, brackets and all
            tree.write(path, before)
        if tree.read(path) != before:
            raise HostError(f"it shows {tree.read(path)!r} instead of {before!r}")
    return True
