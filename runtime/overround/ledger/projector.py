"""Moves a journal into the database, a transaction at a time, from where the database stands.

The cursor is a row of the same database and moves in the same transaction as the rows, from
exactly the value that was read: whatever dies between two statements, and however many
projectors there are, nothing is lost and nothing is doubled. After any error the cursor is read
again, so that a commit whose answer was lost is neither repeated nor forgotten.

A database that is ahead of its journal (the machine died and the journal's unsynced tail with
it), or that holds another one, is not mended: those rows stay, marked as superseded, and the
journal is projected anew beside them.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, delete, exists, insert, select, update

from overround import clock
from overround.errors import OverroundError
from overround.ledger import schema
from overround.ledger.database import upgrade
from overround.ledger.follow import Follower
from overround.ledger.project import Batch

__all__ = ["CursorMoved", "Projector", "identity_of"]

journals = schema.journals


class CursorMoved(OverroundError):
    """Another projector moved the cursor meanwhile: read it again."""


def identity_of(follower: Follower) -> str | None:
    """Return the name of a journal, from its first record; None while it has none."""
    first = follower.first()
    return None if first is None else f"{first.epoch_ns:x}-{first.checksum:08x}"


class Projector:
    """Projects one journal into one database. Not shared between threads."""

    def __init__(self, engine: Engine, folder: Path, instance: str) -> None:
        self._engine = engine
        self._follower = Follower(folder)
        self._instance = instance
        self._journal_id = 0
        self._cash_micro = 0
        self.superseded = 0
        """Times the database was found to differ from the journal and was begun anew."""

    @property
    def sequence(self) -> int:
        """Last record known to be in the database; 0 before the first ``step``."""
        return self._follower.place.sequence if self._journal_id else 0

    @property
    def journal_id(self) -> int:
        """Number of this journal in the database; 0 before it is known."""
        return self._journal_id

    def step(self, limit: int) -> int:
        """Project up to ``limit`` further records; return how many, 0 if there are none.

        Raises sqlalchemy.exc.SQLAlchemyError, CursorMoved, HostError (a newer schema) or
        JournalDamage; nothing of the batch is then in the database, or all of it, and the next
        step finds out which.
        """
        try:
            if not self._journal_id and not self._find():
                return 0
            found = self._follower.poll(limit)
            if not found:
                return 0
            last = found[-1]
            with self._engine.begin() as connection:
                # The cursor first: whoever comes second waits here and finds it moved.
                self._move(
                    connection, found[0].sequence - 1, sequence=last.sequence,
                    segment=last.segment, offset_bytes=last.offset, checksum=last.checksum,
                    record_epoch_ns=last.epoch_ns,
                )  # fmt: skip
                batch = Batch(connection, self._journal_id, self._cash_micro)
                batch.apply(found, opened=lambda: self._opened(connection))
                if batch.cash_micro != self._cash_micro:
                    self._move(connection, last.sequence, cash_micro=batch.cash_micro)
            self._cash_micro = batch.cash_micro
        except BaseException:
            self._journal_id = 0  # where the database stands is for the database to say
            self._engine.dispose()  # a connection that broke half-way may look alive to the pool
            raise
        return len(found)

    def _find(self) -> bool:
        """Find or begin this journal in the database; False while it has no record."""
        identity = identity_of(self._follower)
        if identity is None:
            return False
        upgrade(self._engine)
        with self._engine.begin() as connection:
            mine = (journals.c.identity == identity, journals.c.superseded == 0)
            row = connection.execute(select(journals).where(*mine)).mappings().first()
            self._follower.close()
            self._follower = Follower(self._follower.folder)
            if row is not None and row["sequence"] and not self._follower.resume(
                row["segment"], row["offset_bytes"], row["sequence"], row["checksum"]
            ):  # fmt: skip
                self.superseded += 1
                gone = {"superseded": clock.epoch_ns()}
                connection.execute(update(journals).where(*mine).values(gone))
                row = None
            if row is None:
                connection.execute(
                    insert(journals).values(
                        instance=self._instance, identity=identity, superseded=0, sequence=0,
                        segment=0, offset_bytes=0, checksum=0, record_epoch_ns=0, cash_micro=0,
                    )
                )  # fmt: skip
                row = connection.execute(select(journals).where(*mine)).mappings().one()
            self._journal_id, self._cash_micro = row["journal_id"], row["cash_micro"]
        return True

    def _opened(self, connection: Connection) -> bool:
        opening = exists().where(
            schema.cash.c.journal_id == self._journal_id, schema.cash.c.cause == "opening"
        )
        return bool(connection.execute(select(opening)).scalar())

    def _move(self, connection: Connection, before: int, **cursor: int) -> None:
        statement = update(journals).where(
            journals.c.journal_id == self._journal_id, journals.c.sequence == before
        )
        if connection.execute(statement.values(cursor)).rowcount != 1:
            raise CursorMoved(f"journal {self._journal_id} is not at record {before} any more")

    def forget(self) -> None:
        """Delete all rows of this journal: the next step begins at its first record."""
        if self._journal_id or self._find():
            with self._engine.begin() as connection:
                for table in reversed(schema.TABLES):
                    mine = table.c.journal_id == self._journal_id
                    connection.execute(delete(table).where(mine))
        self._journal_id = 0

    def close(self) -> None:
        """Give up connection and file."""
        self._journal_id = 0
        self._follower.close()
        self._engine.dispose()
