"""``overround audit``: the trail of every intent; and is the ledger what the journal says?"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from overround.cli.output import format_ns, print_json
from overround.errors import ConfigError, HostError
from overround.units import format_price, format_size

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from overround.ledger.audit import Filter

SHOWN_INTENTS = 20
"""Trails shown when nothing was asked for in particular."""
SHOWN_DIFFERENCES = 20
JOURNAL = "journal"
_UNITS_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}


def audit(
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder of the run: its journal and ledger.db.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of the ledger; default OVERROUND_DATABASE_URL.")
    ] = None,
    instance: Annotated[
        str | None, typer.Option(help="Whose journal, where no run's folder is named.")
    ] = None,
    order: Annotated[str | None, typer.Option(help="One order, by its id.")] = None,
    intent: Annotated[str | None, typer.Option(help="One intent: run.producer.sequence.")] = None,
    market: Annotated[str | None, typer.Option(help="A condition or token id.")] = None,
    since: Annotated[
        str | None, typer.Option(help="A time (ISO 8601, UTC) or an age: 30s, 10m, 2h, 1d.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Trails with such a record: FILL, DONE.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest so many.")] = None,
    journal: Annotated[
        bool, typer.Option("--journal", help="Read the journal alone, without the ledger.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="First project the whole journal again.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare ledger, journal and positions; 1 if unequal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Trails as one JSON document.")] = False,
    table: Annotated[bool, typer.Option("--csv", help="Records as CSV.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write records to FILE.csv, .jsonl or .parquet.")
    ] = None,
) -> None:
    """Show what became of every intent: gate, signature, send, answer, fills, settlement.

    Reads the database that the executor projects its journal into; the executor does not notice.
    Without a choice the newest 20 trails are shown; --csv and --export take every record.
    """
    from overround.ledger.audit import Filter, event_rows, trails

    folder = run_dir or (None if database or instance else Path("runs") / "default")
    wish = Filter(order or "", intent or "", market or "", _since(since), kind or "", limit or 0)
    if rebuild:
        _rebuild(folder, database, instance)
    with _ledger(folder, database, journal) as connection:
        if check:
            raise typer.Exit(_check(connection, folder, json))
        number = _journal_id(connection, folder, instance)
        if export is not None:
            _export(export, event_rows(connection, number, wish))
        elif table:
            _write_csv(sys.stdout, event_rows(connection, number, wish))
        elif json:
            print_json(trails(connection, number, wish))
        else:
            _print_trails(trails(connection, number, _at_most(wish)))


def _at_most(wish: Filter) -> Filter:
    from dataclasses import replace

    asked = wish.limit or wish.order_id or wish.intent
    return wish if asked else replace(wish, limit=SHOWN_INTENTS)


def _since(text: str | None) -> int:
    from overround import clock

    if not text:
        return 0
    age = re.fullmatch(r"(\d+)([smhd])", text)
    if age:
        return clock.epoch_ns() - int(age[1]) * _UNITS_NS[age[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--since {text!r}: say 2026-11-23T10:00:00, or an age like 10m"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9


@contextmanager
def _ledger(folder: Path | None, database: str | None, alone: bool) -> Iterator[Connection]:
    """Open the ledger for reading; ``alone`` makes one from the journal, and forgets it."""
    import tempfile

    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    from overround.ledger.check import project_alone
    from overround.ledger.database import check_schema, open_engine, resolve_url

    with tempfile.TemporaryDirectory() as scratch:
        if alone:
            path = Path(scratch) / "ledger.db"
            project_alone(_journal(folder), path)
            url = URL.create("sqlite", database=str(path))
        else:
            url = resolve_url(database or "", folder or Path())
        engine = open_engine(url, reads=True)
        try:
            with engine.begin() as connection:
                check_schema(connection)
                yield connection
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise HostError(f"the ledger cannot be read: {str(cause).splitlines()[0]}") from None
        finally:
            engine.dispose()


def _journal(folder: Path | None) -> Path:
    if folder is None or not (folder / JOURNAL).is_dir():
        raise HostError(f"there is no journal in {folder}: name the run's folder with --run-dir")
    return folder / JOURNAL


def _journal_id(connection: Connection, folder: Path | None, instance: str | None) -> int:
    from overround.ledger.audit import find_journal

    there = folder / JOURNAL if folder is not None else None
    if there is not None and not there.is_dir():
        there = None  # a ledger that was copied away from its journal
    return int(find_journal(connection, there, instance or "")["journal_id"])


def _rebuild(folder: Path | None, database: str | None, instance: str | None) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from overround.ledger.database import open_engine, resolve_url
    from overround.ledger.projector import Projector

    source = _journal(folder)
    url = resolve_url(database or "", source.parent)
    projector = Projector(open_engine(url), source, instance or source.parent.resolve().name)
    try:
        projector.forget()
        while projector.step(1_000):
            pass
        print(f"projected {projector.sequence:,} records", file=sys.stderr)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise HostError(f"the ledger cannot be written: {str(cause).splitlines()[0]}") from None
    finally:
        projector.close()


def _check(connection: Connection, folder: Path | None, json: bool) -> int:
    from overround.ledger.check import check

    found = check(connection, _journal(folder))
    if json:
        print_json(
            {
                "ok": not found.differences,
                "journal_records": found.journal_records,
                "database_records": found.database_records,
                "rows": found.rows,
                "differences": found.differences,
                "more_differences": found.more,
            }
        )
    else:
        print(f"journal {found.journal_records:,} records, ledger {found.database_records:,}")
        print("  " + "  ".join(f"{name} {count:,}" for name, count in found.rows.items()))
        for text in found.differences[:SHOWN_DIFFERENCES]:
            print(f"  differs: {text}")
        more = found.more + max(0, len(found.differences) - SHOWN_DIFFERENCES)
        if more:
            print(f"  and {more:,} more differences")
        print("equal" if not found.differences else "NOT EQUAL: --rebuild projects it again")
    return int(bool(found.differences))


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]]) -> int:
    writer: csv.DictWriter[str] | None = None
    count = 0
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
        writer.writerow(row)
        count += 1
    return count


def _export(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write rows beside the file and move it there whole."""
    import msgspec

    partial = path.with_name(path.name + ".partial")
    if path.suffix == ".csv":
        with partial.open("w", encoding="utf-8", newline="") as file:
            count = _write_csv(file, rows)
    elif path.suffix == ".jsonl":
        count = 0
        with partial.open("wb") as lines:
            for row in rows:
                lines.write(msgspec.json.encode(row) + b"\n")
                count += 1
    elif path.suffix == ".parquet":
        count = _write_parquet(partial, rows)
    else:
        raise ConfigError(f"--export {path}: name a file that ends in .csv, .jsonl or .parquet")
    partial.replace(path)
    print(f"wrote {count:,} records to {path}", file=sys.stderr)


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise HostError("Parquet needs pyarrow: pip install pyarrow, or export .csv") from None
    table = pyarrow.Table.from_pylist(list(rows))
    parquet.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def _print_trails(found: list[dict[str, Any]]) -> None:
    if not found:
        print("no such intent", file=sys.stderr)
    for trail in found:
        moment = datetime.fromtimestamp(trail["epoch_ns"] // 10**9, UTC)
        print(
            f"intent {trail['intent']}  {moment:%Y-%m-%d %H:%M:%S}Z  {trail['side_name']}"
            f" {format_size(trail['size_lots'])} {trail['outcome_name']}"
            f" @ {format_price(trail['price_ticks'])} {trail['order_type_name']}"
            f"  market {trail['condition_id'] or '-'}"
        )
        for event in trail["events"]:
            latency = "" if event["latency_ns"] is None else f"+{format_ns(event['latency_ns'])}"
            print(f"  {event['sequence']:>9} {latency:>10}  {event['name']:<9} {_facts(event)}")
        end = f"{trail['reason_name']} {trail['text']}".strip()
        filled = format_size(trail["filled_lots"])
        print(f"  {'=':>9} {'':>10}  {trail['state']:<9} filled {filled}  {end}")


_TOLD = ("order_id", "status", "trade_id", "size_lots", "price_ticks", "cash_micro", "fee_micro",
         "attempt", "reason_name", "cause", "text", "source")  # fmt: skip


def _facts(event: dict[str, Any]) -> str:
    detail = event["detail"] | {"order_id": event["order_id"]}
    return "  ".join(f"{name}={detail[name]}" for name in _TOLD if detail.get(name))
