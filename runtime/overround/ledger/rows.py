"""Rows of one table, read once, changed in memory, written back in two statements.

A batch of journal records changes few rows often: an order's row is touched by six records in a
row. Nothing lives longer than the batch's transaction, so a failed one leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, insert, select, tuple_, update

__all__ = ["Row", "Rows"]

Row = dict[str, Any]

KEYS_PER_SELECT: Final = 400
"""SQLite's oldest limit is 999 variables in a statement; two to a key fit."""


class Rows:
    """What one batch reads and changes of one table of one journal."""

    def __init__(self, connection: Connection, table: Table, journal_id: int) -> None:
        self._connection = connection
        self._table = table
        self._journal_id = journal_id
        self._names = [one.name for one in table.primary_key if one.name != "journal_id"]
        self._rows: dict[Any, Row] = {}
        self._new: dict[Any, Row] = {}
        self._changed: dict[Any, Row] = {}

    def _key_of(self, row: Row) -> Any:
        if len(self._names) == 1:
            return row[self._names[0]]
        return tuple(row[name] for name in self._names)

    def load(self, keys: Iterable[Any]) -> None:
        """Read the rows with these keys that the database has (one value, or a tuple)."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._rows]
        columns = [self._table.c[name] for name in self._names]
        place: Any = columns[0] if len(columns) == 1 else tuple_(*columns)
        for start in range(0, len(wanted), KEYS_PER_SELECT):
            some = wanted[start : start + KEYS_PER_SELECT]
            found = select(self._table).where(
                self._table.c.journal_id == self._journal_id, place.in_(some)
            )
            for row in self._connection.execute(found).mappings():
                self._rows[self._key_of(dict(row))] = dict(row)

    def get(self, key: Any) -> Row | None:
        """Return a row that was loaded or added, None if there is none; read only."""
        return self._rows.get(key)

    def change(self, key: Any, **values: Any) -> None:
        """Set columns of a row that is there."""
        row = self._rows[key]
        row.update(values)
        if key not in self._new:
            self._changed[key] = row

    def add(self, **values: Any) -> Row:
        """Add a row; one with the same key must not exist."""
        row = {"journal_id": self._journal_id, **values}
        key = self._key_of(row)
        self._rows[key] = self._new[key] = row
        return row

    def flush(self) -> None:
        """Write what was added and changed."""
        for row in (*self._new.values(), *self._changed.values()):
            for name, value in row.items():
                if type(value) is str and "\0" in value:
                    row[name] = value.replace("\0", "\\0")  # PostgreSQL's text cannot hold it
        if self._new:
            self._connection.execute(insert(self._table), list(self._new.values()))
        if self._changed:
            self._connection.execute(self._update(), self._parameters())

    def _update(self) -> Any:
        statement = update(self._table).where(
            *(self._table.c[one.name] == bindparam(f"at_{one.name}")
              for one in self._table.primary_key)
        )  # fmt: skip
        keys = {one.name for one in self._table.primary_key}
        return statement.values(
            {one.name: bindparam(one.name) for one in self._table.c if one.name not in keys}
        )

    def _parameters(self) -> list[Row]:
        keys = [one.name for one in self._table.primary_key]
        return [
            {(f"at_{name}" if name in keys else name): value for name, value in row.items()}
            for row in self._changed.values()
        ]
