"""The campaign's third victim and second witness: the database that the journal is projected to.

It is read here with plain SQL, and troubled: its connection is killed, its file is locked, the
process that writes it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from sqlalchemy import create_engine, text

from oracle.audit import Books
from overround.ledger.writer import Options

FILE: Final = "ledger.db"
PATIENCE_MS: Final = 60_000
LOCKED_S: Final = (0.05, 0.6)
PROJECTOR: Final = b"overround.ledger.child"
TERMINATE: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"
)


class LedgerEye:
    """One ledger database, by URL; empty: SQLite's file in the run's folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self._file = folder / FILE
        self._url = url
        self.sqlite = not url
        name = url.replace("postgresql://", "postgresql+psycopg://")
        self._engine = create_engine(name or f"sqlite:///{self._file}")

    # -- trouble -------------------------------------------------------------------------

    def trouble(self, random: Random, executor_pid: int) -> str:
        """Kill the projector, or its connection, or lock the file; what it was."""
        kinds: dict[str, Callable[[], bool]] = {
            "projector": lambda: _kill_projectors(executor_pid),
            "connection": self._terminate if not self.sqlite else lambda: self._lock(random),
        }
        name = random.choice(sorted(kinds))
        return name if kinds[name]() else ""

    def _terminate(self) -> bool:
        with self._engine.begin() as connection:
            found = connection.execute(text(TERMINATE), {"name": "overround-ledger"}).all()
        return bool(found)

    def _lock(self, random: Random) -> bool:
        if not self._file.exists():
            return False
        threading.Thread(target=_hold, args=(self._file, random.uniform(*LOCKED_S))).start()
        return True

    def catch_up(self, journal: Path, instance: str) -> None:
        """Project what is left: a projector that was killed last has no successor after a stop."""
        options = Options(instance, self._url, 500, 50, PATIENCE_MS)
        done = subprocess.run(
            [sys.executable, "-m", PROJECTOR.decode(), str(journal), str(self._file.parent),
             msgspec.json.encode(options).decode()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    # -- witness -------------------------------------------------------------------------

    def sequence(self) -> int:
        """The last record that is in the tables."""
        with self._engine.connect() as connection:
            query = text("SELECT max(sequence) FROM journals WHERE superseded = 0")
            return int(connection.execute(query).scalar() or 0)

    def books(self) -> Books:
        """The account by the settled fills in the tables, added up here."""
        books = Books()
        with self._engine.connect() as connection:
            opening = text(
                "SELECT coalesce(sum(amount_micro), 0) FROM cash WHERE cause = 'opening'"
            )
            books.cash_micro = int(connection.execute(opening).scalar() or 0)
            fills = text(
                "SELECT token, side, size_lots, cash_micro, fee_micro FROM fills"
                " WHERE state = 'CONFIRMED'"
            )
            for token, side, lots, cash, fee in connection.execute(fills):
                books.trade(str(token), ("BUY", "SELL")[side], int(lots), int(cash), int(fee))
        return books

    def own_sums(self) -> Books:
        """The account as the tables of positions and cash say themselves."""
        books = Books()
        with self._engine.connect() as connection:
            cash = text("SELECT coalesce(sum(amount_micro), 0) FROM cash")
            books.cash_micro = int(connection.execute(cash).scalar() or 0)
            rows = text("SELECT token, confirmed_lots, fees_micro FROM positions")
            for token, lots, fees in connection.execute(rows):
                books.lots[str(token)] += int(lots)
                books.fees_micro += int(fees)
        return books

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _hold(path: Path, seconds: float) -> None:
    link = sqlite3.connect(path, timeout=5, isolation_level=None)
    with contextlib.closing(link), contextlib.suppress(sqlite3.OperationalError):
        link.execute("BEGIN IMMEDIATE")  # it may be busy all the time: nothing is locked then
        threading.Event().wait(seconds)
        link.execute("ROLLBACK")


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):  # it may end while we look
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())


def _kill_projectors(executor_pid: int) -> bool:
    """kill -9 the projectors of this executor; whether there was one."""
    killed = False
    for pid in list(_children(executor_pid)):
        with contextlib.suppress(OSError):
            if PROJECTOR in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                killed = True
    return killed
