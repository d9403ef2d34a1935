"""The process that projects: ``python -m overround.ledger.child JOURNAL RUN_DIR OPTIONS``.

Beside the executor and not inside it: a second busy Python thread would take the interpreter
from the trading loop for milliseconds, just when an order is under way. It has the lowest
priority, reads the journal's files, and tells what it does in JSON lines on standard output.
When its standard input ends (asked to stop, or the executor is dead) it projects what is left
and goes, within the limit.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from overround import clock
from overround.errors import OverroundError
from overround.ledger.database import open_engine, resolve_url, shown
from overround.ledger.projector import CursorMoved, Projector
from overround.ledger.writer import Options, Status
from overround.seat.take import leave_hot

__all__ = ["main"]

NICE: Final = 19
REPORT_NS: Final = 100 * clock.NS_PER_MS
RETRY_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
"""A database that is away is tried this often in the end."""


class _Stdin:
    """Standard input as the signal to stop; ``wait`` is the only place where time passes."""

    def __init__(self) -> None:
        self.ended = False

    def wait(self, seconds: float) -> None:
        """Wait until the time is over, or until the input has ended."""
        if self.ended:
            clock.sleep(min(seconds, RETRY_S))
            return
        ready, _, _ = select.select([0], [], [], seconds)
        if ready and not os.read(0, 4096):
            self.ended = True


class _Loop:
    def __init__(self, projector: Projector, options: Options, secret: str) -> None:
        self._projector = projector
        self._options = options
        self._secret = secret
        self._stdin = _Stdin()
        self._status = Status()
        self._reported_ns = 0
        self._retry_s = RETRY_S
        self._note = ""

    def run(self) -> int:
        """Project until told to stop and nothing is left, or the limit is over."""
        deadline_ns = 0
        while True:
            done = self._step()
            if self._stdin.ended:
                now_ns = clock.monotonic_ns()
                limit_ns = self._options.stop_limit_ms * clock.NS_PER_MS
                deadline_ns = deadline_ns or now_ns + limit_ns
                if done == 0 or now_ns >= deadline_ns:
                    self._report(force=True)
                    return int(done != 0)
            if done == 0:
                self._report(force=True)
                self._stdin.wait(self._options.poll_ms / 1_000)
            elif done < 0:
                self._stdin.wait(self._retry_s)
                self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            else:
                self._report()
                self._stdin.wait(0)

    def _step(self) -> int:
        """Return the records projected; -1 if the database or the journal did not let us."""
        try:
            done = self._projector.step(self._options.batch_records)
        except CursorMoved:
            return -1  # another projector of this journal is at work: look again
        except (OverroundError, SQLAlchemyError, OSError) as error:
            self._status.failures += 1
            self._say(_line(error, self._secret))
            return -1
        if self._note:
            self._say("")
        self._retry_s = RETRY_S
        self._status.projected += done
        return done

    def _say(self, note: str) -> None:
        if note != self._note:
            self._note = note
            self._status.note = note or "the ledger's database works again"
        self._report(force=bool(note))

    def _report(self, *, force: bool = False) -> None:
        now_ns = clock.monotonic_ns()
        status, sequence = self._status, self._projector.sequence
        news = status.projected or status.failures or status.note
        if not (news or sequence > status.sequence):
            return
        if not force and now_ns < self._reported_ns + REPORT_NS:
            return
        status.sequence = max(status.sequence, sequence)
        _tell(status)
        self._reported_ns = now_ns
        self._status = Status(sequence=status.sequence)


def _tell(status: Status) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens to an orphan
        os.write(1, msgspec.json.encode(status) + b"\n")


def _line(error: Exception, secret: str) -> str:
    """Return an error as one line, without the database's password should a driver show it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(str(cause).split())[:300]
    name = type(cause).__name__
    return f"{name}: {text.replace(secret, '***') if secret else text}"


def _password(url: URL) -> str:
    return str(url.password) if url.password else ""


def main(arguments: list[str]) -> int:
    """Run one projector; returns its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the executor, which tells us
    os.umask(0o077)
    leave_hot()
    os.nice(NICE)
    folder, run_dir = Path(arguments[0]), Path(arguments[1])
    options = msgspec.json.decode(arguments[2], type=Options)
    try:
        url = resolve_url(options.database_url, run_dir)
        projector = Projector(open_engine(url), folder, options.instance)
    except OverroundError as error:
        _tell(Status(failures=1, note=str(error)))
        return error.exit_status
    _tell(Status(note=f"projecting into {shown(url)}"))
    try:
        return _Loop(projector, options, _password(url)).run()
    finally:
        projector.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
