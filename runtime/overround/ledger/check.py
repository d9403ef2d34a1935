"""Is the database what the journal says? Two independent answers.

First the journal is projected once more, into an empty database of its own, up to the record at
which the ledger stands, and every row of every table is compared. Then positions and cash are
folded from the journal by the executor's own ``Positions``, which shares no code with the
projection, and compared with the tables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Table, func, select

from overround.errors import HostError
from overround.ledger import schema
from overround.ledger.audit import find_journal
from overround.ledger.database import open_engine
from overround.ledger.follow import Follower
from overround.ledger.journal import replay
from overround.ledger.positions import Positions
from overround.ledger.projector import Projector
from overround.ledger.records import decode

__all__ = ["Check", "check", "is_written", "project_alone"]

DIFFERENCES_MAX: Final = 100
"""More are counted, not listed."""
BATCH: Final = 1_000


@dataclass(slots=True)
class Check:
    """What a comparison found."""

    journal_records: int = 0
    database_records: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """Rows compared, by table."""
    differences: list[str] = field(default_factory=list)
    more: int = 0
    """Differences beyond those listed."""

    def differ(self, text: str) -> None:
        """Note a difference."""
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(text)
        else:
            self.more += 1


def is_written(folder: Path) -> bool:
    """Return whether a living process writes this journal; its lock is looked at, not touched."""
    try:
        inode = (folder / "lock").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    return any(
        fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode)
        for fields in (line.split() for line in locks.splitlines())
    )


def project_alone(folder: Path, path: Path, *, up_to: int | None = None) -> int:
    """Project a journal, or its first records, into a new SQLite file; return the last one's."""
    projector = Projector(open_engine(URL.create("sqlite", database=str(path))), folder, "check")
    try:
        while up_to is None or projector.sequence < up_to:
            left = BATCH if up_to is None else min(BATCH, up_to - projector.sequence)
            if not projector.step(left):
                break
        return projector.sequence
    finally:
        projector.close()


def check(connection: Connection, folder: Path) -> Check:
    """Compare the ledger with the journal in ``folder``; the ledger may be behind it."""
    result = Check()
    follower = Follower(folder)
    while follower.poll(BATCH):
        pass
    result.journal_records = follower.place.sequence
    follower.close()
    try:
        cursor = find_journal(connection, folder)
    except HostError as error:
        result.differ(str(error))
        return result
    result.database_records = cursor["sequence"]
    lag = result.journal_records - result.database_records
    if lag and not is_written(folder):
        result.differ(f"{lag} records of the journal are not in the database, and nobody is at it")
    with tempfile.TemporaryDirectory() as scratch:
        _compare_rows(connection, cursor, folder, Path(scratch) / "again.db", result)
    _compare_positions(connection, cursor, folder, result)
    return result


def _compare_rows(
    connection: Connection, cursor: dict[str, Any], folder: Path, path: Path, result: Check
) -> None:
    reached = project_alone(folder, path, up_to=cursor["sequence"])
    if reached != cursor["sequence"]:
        result.differ(f"the database is at record {cursor['sequence']}, the journal at {reached}")
    engine = open_engine(URL.create("sqlite", database=str(path)), reads=True)
    try:
        with engine.begin() as again:
            for table in schema.TABLES[1:]:
                _compare(connection, again, table, cursor["journal_id"], result)
            other = find_journal(again, folder)
            for name in ("segment", "offset_bytes", "checksum", "record_epoch_ns", "cash_micro"):
                if other[name] != cursor[name]:
                    result.differ(f"cursor: {name} is {cursor[name]}, not {other[name]}")
    finally:
        engine.dispose()


def _compare(
    connection: Connection, again: Connection, table: Table, journal_id: int, result: Check
) -> None:
    mine, theirs = _Side(connection, table, journal_id), _Side(again, table, 1)
    while mine.row is not None or theirs.row is not None:
        result.rows[table.name] = result.rows.get(table.name, 0) + (mine.row is not None)
        if theirs.row is None or (mine.row is not None and mine.key < theirs.key):
            result.differ(f"{table.name} {_named(mine)}: the journal has no such row")
            mine.step()
        elif mine.row is None or theirs.key < mine.key:
            result.differ(f"{table.name} {_named(theirs)}: the database has no such row")
            theirs.step()
        else:
            if mine.row != theirs.row:
                result.differ(f"{table.name} {_named(mine)}: {_columns(mine.row, theirs.row)}")
            mine.step()
            theirs.step()


class _Side:
    """A table's rows in the order of their keys, one at a time."""

    def __init__(self, connection: Connection, table: Table, journal_id: int) -> None:
        found = select(table).where(table.c.journal_id == journal_id)
        self._order = [name for name in ("sequence", "part") if name in table.c]
        if self._order:
            found = found.order_by(*(table.c[name] for name in self._order))
            rows = connection.execute(found.execution_options(yield_per=BATCH)).mappings()
            self._rows: Iterator[Any] = iter(rows)
        else:  # positions: few, and every database sorts texts in its own way
            self._order = ["token"]
            rows = connection.execute(found).mappings()
            self._rows = iter(sorted(rows, key=lambda row: str(row["token"])))
        self.step()

    def step(self) -> None:
        """Move to the next row; ``row`` is None behind the last one."""
        found = next(self._rows, None)
        self.row: dict[str, Any] | None = None
        if found is not None:
            self.row = {name: value for name, value in found.items() if name != "journal_id"}
            self.key = tuple(self.row[name] for name in self._order)


def _named(side: _Side) -> str:
    assert side.row is not None
    names = [name for name in ("sequence", "intent", "order_id", "trade_id", "token")
             if side.row.get(name)]  # fmt: skip
    return " ".join(f"{name} {side.row[name]}" for name in names)


def _columns(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    differing = [name for name in mine if mine[name] != theirs[name]]
    return ", ".join(
        f"{name} is {mine[name]!s:.80}, journal {theirs[name]!s:.80}" for name in differing
    )


def _compare_positions(
    connection: Connection, cursor: dict[str, Any], folder: Path, result: Check
) -> None:
    positions = Positions()
    for raw in replay(folder):
        if raw.sequence > cursor["sequence"]:
            break
        try:
            positions.apply(decode(raw))
        except ValueError:
            continue  # a kind of a newer build: no part of the positions we know
    table, cash = schema.positions, schema.cash
    names = ("confirmed_lots", "pending_lots", "pending_sale_lots", "cost_micro", "fees_micro")
    rows = connection.execute(select(table).where(table.c.journal_id == cursor["journal_id"]))
    held = {row["token"]: tuple(row[name] for name in names) for row in rows.mappings()}
    for token in held | positions.holdings:
        one = positions.holdings.get(token)
        folded = None if one is None else tuple(getattr(one, name) for name in names)
        if held.get(token) != folded:
            result.differ(f"position {token}: database {held.get(token)}, journal {folded}")
    total = connection.execute(
        select(func.sum(cash.c.amount_micro)).where(cash.c.journal_id == cursor["journal_id"])
    ).scalar()
    balance = positions.view().cash_micro
    for what, seen in (("cash", cursor["cash_micro"]), ("sum of cash", int(total or 0))):
        if seen != balance:
            result.differ(f"{what}: database {seen}, journal {balance} micro")
