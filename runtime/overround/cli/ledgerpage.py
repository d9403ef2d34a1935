"""The reference pages of the journal and of the database, made from their own tables."""

from __future__ import annotations

import inspect
import typing

from sqlalchemy import Column, Table, Text

from overround.execute import wiring
from overround.ledger import journal, records, schema
from overround.ledger.database import DATABASE_FILE, URL_VARIABLE

__all__ = ["journal_page", "ledger_page"]

_JOURNAL = f"""\
Reference. Made by `scripts/reference`; do not edit.

What the executor meant, sent and learned, in the order it happened: the truth from which orders,
positions and the [database](ledger.md) follow. A record is written before the first byte of what
it announces leaves. It lies in `RUN/journal/journal-NNNNNN.ovj`; one process writes (it holds a
`flock` on `lock`), anyone may read at any time.

## Segments

Files of `execute.journal_segment_bytes`, allocated whole and zeroed, then mapped. All integers are
little-endian.

| bytes | header | |
|---|---|---|
| 0 to 7 | magic | `OVRJRNL` and 0x01 |
| 8 to 11 | version | {journal.VERSION} |
| 12 to 15 | index | number in the file's name |
| 16 to 23 | first sequence | of the first record that this file holds |
| 60 to 63 | checksum | CRC32C of bytes 0 to 59 |

| bytes | record, from byte {journal.HEADER_BYTES} on | |
|---|---|---|
| 0 to 3 | length | whole record with its padding, a multiple of 8; 0 is the end |
| 4 to 7 | checksum | CRC32C of all that follows |
| 8 to 15 | sequence | counts from 1 over all segments, without a gap |
| 16 to 23 | epoch_ns | wall clock of the append |
| 24 to 25 | kind | table below |
| 26 to 27 | flags | 0 |
| 28 to 31 | size | bytes of the payload, at most {journal.PAYLOAD_BYTES_MAX:,} |
| 32 | payload | msgpack array of the fields below; then zeros |

A writer that dies inside an append leaves a *torn tail*: bytes that are no whole record with no
whole record behind them. The next owner zeroes it and says so. A broken record with whole ones
behind it is *damage*: nothing is cut, the executor does not start, the folder is to be restored or
reconciled by hand.

## What survives what

`execute.journal_sync` decides what a dead *machine* loses. No process's death loses anything under
any of them: an append is in the kernel's page cache before the next step.

| policy | when the disk is waited for | lost if the machine dies | what an append waits for |
|---|---|---|---|
| `none` | never by us | what the kernel had not written back: usually up to 30 s | memory |
| `batch` | every `execute.journal_sync_ms`, by another thread, and at each new segment | \
what came in that time, and while that sync ran | memory |
| `record` | at every record | nothing | the disk, at every record |

An order whose records were lost with the machine is found again by reconciliation: the venue lists
it, and no record of ours claims it.

## Checkpoints

A start that had to read {wiring.CHECKPOINT_RECORDS:,} records or more keeps what they led to in
`checkpoint-SEQUENCE.ovc` beside the segments, before it commits anything; the newest two stay. The
next start begins with it and reads only what came after: each record is read at two starts at
most, and what a start costs is what the run before it wrote. None is written while trading.

A checkpoint is an aid and never the truth. It is used only if its checksum holds, the very same
sources wrote it (any change of the code, the interpreter or the struct library makes it useless),
and the journal still has the record it ends with, to the checksum. Otherwise the older one serves,
or the journal from its first record; the log says why. Deleting them is always safe. The database,
`overround audit` and `overround reconcile` never look at them and read the journal itself; so does
whoever wants to know whether old segments are still whole (`overround audit --check`).

## Memory

Of orders that are done and settled the last `execute.done_orders_max` stay in memory. Of an older
one stay its key and id, the places of its INTENT, SIGNED and FILL records and what no single record
says, about 270 bytes: an intent offered again is still a duplicate, a trade told again is booked
once, and a late fill brings the order back from the journal. Segments must not be removed while
the journal is in use.

## Records

Fields are appended, never removed or reordered, and kinds keep their numbers for ever; a reader
skips a kind that it does not know. `key` is what makes an intent one: (run_id, producer, sequence).
"""

_LEDGER = f"""\
Reference. Made by `scripts/reference`; do not edit.

The [journal](journal.md), projected into tables by a process that the executor starts beside
itself (`overround.ledger.child`, lowest priority). SQLite in write-ahead mode in
`RUN/{DATABASE_FILE}` unless `ledger.database_url` or the environment's `{URL_VARIABLE}` names
PostgreSQL. A password belongs into that variable, `PGPASSWORD` or `.pgpass`; it is never shown.

- **Exactly once.** The cursor (last sequence, its place and checksum) is a row of `journals` and
  moves in the transaction that writes the rows, from the value that was read. Whatever dies between
  two statements, nothing is lost and nothing doubled; two projectors cannot both move it.
- **Trading never waits.** A database that is locked, full, away or killed is tried again (0.1 s,
  doubling to 5 s), counted in `ledger_failures`, said once; `ledger_lag_records` tells how
  far behind it is. A stop waits `ledger.stop_limit_ms` at most; what is left is projected at the
  next start.
- **It can be lost.** `overround audit --rebuild` projects the journal from its first record;
  `--check` compares every row, and positions and cash with a second fold of the journal.
- **It outlives the journal's tail.** If the machine died and the journal lost what the database
  has, those rows stay, marked `superseded`, and the journal is projected beside them.
- **Schema.** Migrations up to {schema.SCHEMA_VERSION} are in the package. Opening an older database
  upgrades it in one transaction; one that a newer build made is refused in one line.

A trade's trail: `overround audit --order 0x...`. With SQL:

```sql
SELECT sequence, name, latency_ns / 1e6 AS ms, detail FROM events WHERE order_id = '0x...';
SELECT intent, text FROM intents WHERE state = 'refused' ORDER BY epoch_ns DESC LIMIT 20;
```
"""


def journal_page() -> str:
    """Return the page of the journal: its bytes, its loss window, its records."""
    lines = ["# Journal\n", _JOURNAL, "| kind | record | says | fields |", "|---|---|---|---|"]
    for kind in records.Kind:
        struct = records.struct_of(kind)
        says = (inspect.getdoc(struct) or "").partition("\n\n")[0]
        fields = ", ".join(
            f"`{name}` {_type(hint)}"
            for name, hint in typing.get_type_hints(struct).items()
            if name in struct.__struct_fields__
        )
        lines.append(f"| {kind.value} | {kind.name} | {' '.join(says.split())} | {fields} |")
    return "\n".join(lines) + "\n"


def _type(hint: object) -> str:
    name = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
    return name.replace("|", "or").replace("overround.ledger.records.", "")


def ledger_page() -> str:
    """Return the page of the database: its rules and its tables."""
    lines = ["# Ledger database\n", _LEDGER]
    for table in schema.TABLES:
        lines += [f"## {table.name}\n", f"{_upper(table.info['help'])}.\n"]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [_row(table, column) for column in table.columns]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(table: Table, column: Column[typing.Any]) -> str:
    kind = "text" if isinstance(column.type, Text) else "integer"
    marks = [kind, *(["key"] if column in table.primary_key.columns.values() else [])]
    marks += ["or null"] if column.nullable else []
    return f"| `{column.name}` | {', '.join(marks)} | {column.doc} |"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
