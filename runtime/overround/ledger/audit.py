"""Questions to the ledger: the trail of every intent, from the wish to the settlement.

Reads one journal's rows on one connection, in one transaction: a consistent state, also while
the projector writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Select, or_, select

from overround.decide.risk import RefusalCode
from overround.errors import HostError
from overround.ledger import schema
from overround.ledger.follow import Follower
from overround.ledger.projector import identity_of
from overround.venues.polymarket.reasons import RejectReason

__all__ = ["Filter", "Row", "event_rows", "find_journal", "trails"]

Row = dict[str, Any]

INTENTS_PER_SELECT: Final = 400
_SIDES: Final = ("BUY", "SELL")
_OUTCOMES: Final = ("YES", "NO")
_ORDER_TYPES: Final = ("GTC", "GTD", "FOK", "FAK")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which intents: all conditions hold; empty ones do not count."""

    order_id: str = ""
    intent: str = ""
    market: str = ""
    """Condition id or token id."""
    since_epoch_ns: int = 0
    kind: str = ""
    """Name of a record kind that the trail holds."""
    limit: int = 0
    """The newest so many; 0 is all."""


def find_journal(connection: Connection, folder: Path | None, instance: str = "") -> Row:
    """Return the cursor row of a journal: of the one in ``folder``, else the instance's newest.

    Raises HostError if the database does not hold it.
    """
    journals = schema.journals
    found = select(journals).where(journals.c.superseded == 0).order_by(journals.c.journal_id)
    if folder is not None:
        follower = Follower(folder)
        identity = identity_of(follower)
        follower.close()
        if identity is None:
            raise HostError(f"{folder} holds no journal: name the run's folder with --run-dir")
        found = found.where(journals.c.identity == identity)
    elif instance:
        found = found.where(journals.c.instance == instance)
    rows = connection.execute(found).mappings().all()
    if not rows:
        raise HostError(
            f"the database does not hold {f'the journal in {folder}' if folder else 'this journal'}"
            ": the executor projects it, or --rebuild; --journal reads the journal alone"
        )
    return dict(rows[-1])


def _wanted(journal_id: int, wish: Filter) -> Select[Any]:
    intents, events = schema.intents.c, schema.events.c
    found = select(schema.intents).where(intents.journal_id == journal_id)
    if wish.intent:
        found = found.where(intents.intent == wish.intent)
    if wish.order_id:
        found = found.where(intents.order_id == wish.order_id)
    if wish.market:
        found = found.where(or_(intents.condition_id == wish.market, intents.token == wish.market))
    if wish.since_epoch_ns:
        found = found.where(intents.last_epoch_ns >= wish.since_epoch_ns)
    if wish.kind:
        named = select(events.intent).where(
            events.journal_id == journal_id, events.name == wish.kind.upper()
        )
        found = found.where(intents.intent.in_(named))
    found = found.order_by(intents.sequence.desc())
    return found.limit(wish.limit) if wish.limit else found


def trails(connection: Connection, journal_id: int, wish: Filter) -> list[Row]:
    """Return the trail of each intent that fits, oldest first.

    A trail is the intent's row with ``order`` (None before it is signed), ``fills`` and
    ``events`` in the order of the journal; codes have their names beside them.
    """
    rows = [dict(one) for one in connection.execute(_wanted(journal_id, wish)).mappings()]
    rows.reverse()
    result: list[Row] = []
    for start in range(0, len(rows), INTENTS_PER_SELECT):
        some = rows[start : start + INTENTS_PER_SELECT]
        names = [one["intent"] for one in some]
        orders = _by_intent(connection, schema.orders, journal_id, names)
        fills = _by_intent(connection, schema.fills, journal_id, names)
        events = _by_intent(connection, schema.events, journal_id, names)
        for row in some:
            name = row["intent"]
            result.append(
                _named(row)
                | {
                    "order": next(iter(orders.get(name, ())), None),
                    "fills": fills.get(name, []),
                    "events": [_event(one) for one in events.get(name, ())],
                }
            )
    return result


def _by_intent(
    connection: Connection, table: Any, journal_id: int, names: Sequence[str]
) -> dict[str, list[Row]]:
    found = (
        select(table)
        .where(table.c.journal_id == journal_id, table.c.intent.in_(names))
        .order_by(table.c.sequence)
    )
    result: dict[str, list[Row]] = {}
    for row in connection.execute(found).mappings():
        plain = dict(row)
        del plain["journal_id"]
        result.setdefault(plain["intent"], []).append(plain)
    return result


def _named(row: Row) -> Row:
    """Return an intent's row with words for its codes."""
    plain = {name: value for name, value in row.items() if name != "journal_id"}
    code = row["reason"]
    names: Any = RefusalCode if row["state"] == "refused" else RejectReason
    return plain | {
        "side_name": _word(_SIDES, row["side"]),
        "outcome_name": _word(_OUTCOMES, row["outcome"]),
        "order_type_name": _word(_ORDER_TYPES, row["order_type"]),
        "reason_name": _code(names, code),
    }


def _event(row: Row) -> Row:
    """Return an event with its fields unpacked and its reason's name beside them."""
    detail = json.loads(row["detail"])
    if isinstance(detail, dict) and detail.get("reason") and isinstance(detail["reason"], int):
        names: Any = RefusalCode if detail.get("refused") else RejectReason
        detail["reason_name"] = _code(names, detail["reason"])
    return row | {"detail": detail}


def _word(words: Sequence[str], number: int) -> str:
    return words[number] if 0 <= number < len(words) else str(number)


def _code(names: Any, code: int) -> str:
    if not code:
        return ""
    try:
        return str(names(code).name)
    except ValueError:
        return str(code)


def event_rows(connection: Connection, journal_id: int, wish: Filter) -> Iterator[Row]:
    """Yield every event that fits, oldest first: also those that speak of no intent.

    Flat rows for a table: the event's columns, then what was wished.
    """
    events, intents = schema.events, schema.intents
    wished = [
        intents.c[name]
        for name in ("condition_id", "token", "outcome", "side", "price_ticks", "size_lots")
    ]
    same = (intents.c.journal_id == events.c.journal_id) & (intents.c.intent == events.c.intent)
    found = (
        select(*(one for one in events.c if one.name != "journal_id"), *wished)
        .select_from(events.outerjoin(intents, same))
        .where(events.c.journal_id == journal_id)
    )
    if wish.order_id:
        found = found.where(intents.c.order_id == wish.order_id)
    if wish.intent:
        found = found.where(events.c.intent == wish.intent)
    if wish.market:
        found = found.where(
            or_(intents.c.condition_id == wish.market, intents.c.token == wish.market)
        )
    if wish.since_epoch_ns:
        found = found.where(events.c.epoch_ns >= wish.since_epoch_ns)
    if wish.kind:
        found = found.where(events.c.name == wish.kind.upper())
    order = (events.c.sequence, events.c.part)
    if wish.limit:
        newest = found.order_by(*(one.desc() for one in order)).limit(wish.limit)
        yield from reversed([dict(one) for one in connection.execute(newest).mappings()])
        return
    for row in connection.execute(found.order_by(*order)).mappings():
        yield dict(row)
