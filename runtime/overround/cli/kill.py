"""``overround kill`` and ``overround resume``: the switch outside the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from overround.cli.output import print_json
from overround.errors import ConfigError, HostError, OverroundError, SafetyError

if TYPE_CHECKING:
    from overround.config.schema import Settings
    from overround.shm.kill import KillLatch
    from overround.shm.names import Run

ANSWER_TIMEOUT_MS: Final = 1_000
"""An executor that has not confirmed its cancel by then is not waited for."""
LATE_ANSWER_MS: Final = 3_000
"""How much longer an executor is waited for when this command cannot cancel itself."""
POLL_S: Final = 0.001
_CHILD: Final = "overround.supervise.child"

Instance = Annotated[str | None, typer.Option(help="Name of the instance, if several run.")]
Json = Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")]


def kill(
    instance: Instance = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file, if no instance tells it.")
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel/--no-cancel", help="Cancel every open order as well.")
    ] = True,
    json: Json = False,
) -> None:
    """Stop sending orders at once and cancel everything; works when the executor does not.

    Sets the kill latch, which the executor reads before every send, and waits 1 s for it to
    confirm that everything is cancelled. Without that it asks the venue itself, with the key
    that the configuration names. Status 1 when nobody confirmed the cancel.
    """
    report = _kill(instance, config, cancel=cancel)
    if json:
        print_json(report)
    else:
        print(_told(report))
    if report["error"]:
        raise typer.Exit(1)


def resume(
    instance: Instance = None,
    arm: Annotated[bool, typer.Option("--arm", help="Really send orders again.")] = False,
    json: Json = False,
) -> None:
    """Clear the kill latch: the instance may send orders again. Needs --arm.

    After a loss stop the limits count anew from here.
    """
    if not arm:
        raise SafetyError("resume lets the instance send orders again: repeat with --arm")
    run = _find(instance)
    if run is None:
        raise HostError("no instance is running; nothing to resume")
    with contextlib.ExitStack() as stack:
        latch = _latch(run, stack)
        was = _reason(latch)
        latch.clear()
    report = {"instance": run.instance, "was": was}
    if json:
        print_json(report)
    else:
        print(f"{run.instance}: " + (f"resumed after {was}" if was else "was not killed"))


def _kill(instance: str | None, config: Path | None, *, cancel: bool) -> dict[str, Any]:
    run = _find(instance)
    if run is None and config is None:
        raise HostError("no instance is running; name its file with --config to cancel its orders")
    report: dict[str, Any] = {
        "instance": run.instance if run else instance, "latched": False, "reason": None,
        "stopped_ms": None, "cancelled_by": None, "cancelled_orders": None,
        "error": None,
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        latch = None if run is None else _latch(run, stack)
        if latch is not None:
            _set_and_wait(latch, report, cancel=cancel)
        if cancel and report["cancelled_by"] is None:
            _cancel_here(run, config, report)
            if latch is not None and report["error"]:
                _wait(latch, LATE_ANSWER_MS, cancel=True)
                _note_answers(latch, report)
    return report


def _set_and_wait(latch: KillLatch, report: dict[str, Any], *, cancel: bool) -> None:
    from overround.clock import monotonic_ns
    from overround.shm.kill import KillReason

    reason = KillReason.OPERATOR if cancel else KillReason.HOLD
    report["latched"] = latch.set(reason, monotonic_ns())
    report["reason"] = _reason(latch)
    _wait(latch, ANSWER_TIMEOUT_MS, cancel=cancel)
    _note_answers(latch, report)


def _wait(latch: KillLatch, timeout_ms: int, *, cancel: bool) -> None:
    """Wait until the executor has answered, for so long at most."""
    from overround.clock import NS_PER_MS, monotonic_ns, sleep

    deadline_ns = monotonic_ns() + timeout_ms * NS_PER_MS
    while monotonic_ns() < deadline_ns and not (latch.cancelled if cancel else latch.stopped):
        sleep(POLL_S)


def _note_answers(latch: KillLatch, report: dict[str, Any]) -> None:
    from overround.clock import NS_PER_MS

    if latch.stopped:
        report["stopped_ms"] = round((latch.stopped_ns - latch.set_ns) / NS_PER_MS, 3)
    if latch.cancelled:
        report["cancelled_by"], report["error"] = "executor", None


def _cancel_here(run: Run | None, config: Path | None, report: dict[str, Any]) -> None:
    """Ask the venue from this process; the error, if any, is told and does not hide the latch."""
    from overround.config.load import load_private_key
    from overround.config.schema import Mode
    from overround.execute.halt import cancel_everything

    try:
        settings = _settings(run, config)
        if settings.mode is not Mode.SHADOW:  # a shadow has nothing at the venue
            key = load_private_key(settings.account)
            report["cancelled_orders"] = asyncio.run(cancel_everything(settings, key))
        report["cancelled_by"] = "command"
    except OverroundError as error:
        report["error"] = f"open orders are not cancelled: {error}"


def _told(report: dict[str, Any]) -> str:
    name = report["instance"] or "account"
    parts = []
    if report["reason"]:
        parts.append(f"latch {'set' if report['latched'] else 'was set'} ({report['reason']})")
    if report["stopped_ms"] is not None:
        parts.append("executor has stopped sending")
    elif report["reason"]:
        parts.append(f"executor did not answer within {ANSWER_TIMEOUT_MS} ms")
    if report["cancelled_by"]:
        parts.append(f"everything cancelled by the {report['cancelled_by']}")
    if report["error"]:
        parts.append(report["error"])
    return f"{name}: " + "; ".join(parts)


def _find(instance: str | None) -> Run | None:
    """Return the run to act on: alive if there is one, else what a dead one left."""
    from overround.shm.names import list_runs

    runs = [run for run in list_runs() if instance in (None, run.instance) and _has_latch(run)]
    runs = [run for run in runs if run.alive] or (runs if instance is not None else [])
    if len(runs) > 1:
        names = ", ".join(sorted({run.instance for run in runs}))
        if instance is None:
            raise HostError(f"several instances run ({names}): name one with --instance")
    return runs[-1] if runs else None


def _has_latch(run: Run) -> bool:
    return any(name.endswith("-kill") for name in run.segments)


def _latch(run: Run, stack: contextlib.ExitStack) -> KillLatch:
    from overround.layout.region import RegionKind
    from overround.shm.kill import KillLatch
    from overround.shm.names import segment_name
    from overround.shm.segment import Segment

    name = segment_name(run.instance, run.run_id, "kill")
    return KillLatch(stack.enter_context(Segment.attach(name, RegionKind.KILL)))


def _reason(latch: KillLatch) -> str | None:
    from overround.shm.kill import KillReason

    number = latch.reason
    known = number in KillReason.__members__.values()
    return (KillReason(number).name.lower() if known else str(number)) if number else None


def _settings(run: Run | None, config: Path | None) -> Settings:
    """Return the settings of a run: of the named file, or as its supervisor left them."""
    from overround.config.load import load_settings
    from overround.config.schema import Settings
    from overround.supervise.child import SETTINGS_FILE

    if config is not None:
        return load_settings(config)
    assert run is not None
    folder = _folder_of(run) or Path("runs") / run.instance
    try:
        return Settings.model_validate_json((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no settings of {run.instance} in {folder} ({type(error).__name__}): "
            "name its file with --config"
        ) from None


def _folder_of(run: Run) -> Path | None:
    """Return the folder of a run as its processes were told it, None if none of them lives."""
    from overround.shm.names import segment_name

    roster = segment_name(run.instance, run.run_id, "roster")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if _CHILD in words and roster in words:
                told = Path(words[words.index(roster) + 2])
                return told if told.is_absolute() else Path(os.readlink(process / "cwd")) / told
    return None
