"""The comparison with the venue that a person asks for: a look that changes nothing, or a mend.

Both run the executor's own comparison. A look runs it over a copy of the journal in memory, with
a client that only asks, and tells what it would have written; it may be taken while an executor
runs. A mend takes the journal itself, so no executor may run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from overround import clock
from overround.config.schema import Settings
from overround.decide.risk import BookView
from overround.errors import ConfigError, OverroundError, VenueError
from overround.execute.account import AccountDesk, obtain_credentials
from overround.execute.client import NoNews, Response, VenueClient
from overround.execute.markets import NO_BOOK, MarketInfo
from overround.execute.order import OrderState
from overround.execute.store import Store
from overround.execute.venueview import Answers
from overround.execute.wiring import Parts, build, signer_of, venue_client
from overround.ledger.journal import Journal, JournalRecord, replay
from overround.ledger.records import Kind, decode
from overround.venues.polymarket.records import UserOrder, UserTrade
from overround.venues.polymarket.rest import Request

__all__ = ["look", "mend"]

NEVER: Final = 2**62
"""Time of a record that is newer than the venue's answers: its order is left alone."""
MEND_TRIES_MAX: Final = 60
MEND_PAUSE_S: Final = 0.5
DAY_MS: Final = 86_400_000

Report = dict[str, Any]


class _DryJournal(Journal):
    """A journal in memory: holds what another process has written, forgets what we append."""

    def __init__(self, records: list[JournalRecord]) -> None:
        self.records = records
        self.written: Counter[str] = Counter()
        self.next_sequence = len(records) + 1

    def append(self, kind: int, payload: bytes) -> int:
        """Count a record by its kind; nothing is written."""
        self.written[Kind(kind).name] += 1
        self.next_sequence += 1
        return self.next_sequence - 1


class _Asking:
    """A client that asks and does nothing else."""

    def __init__(self, client: VenueClient) -> None:
        self._client = client

    async def call(self, request: Request, *, cost: int = 1) -> Response:
        if request.method != "GET":
            raise VenueError(f"only looking: {request.method} {request.path} is not sent")
        return await self._client.call(request, cost=cost)


class _NoMarkets:
    """No instance, no catalog: what the journal noted of its markets has to do."""

    def info(self, index: int) -> MarketInfo | None:
        return None

    def find(self, token: str) -> tuple[MarketInfo, int] | None:
        return None

    def book(self, index: int, now_ns: int) -> tuple[BookView, int]:
        return NO_BOOK, 0

    def tokens(self) -> tuple[str, ...]:
        return ()


class _Canned:
    """The venue's answers of one moment, asked for before the journal was read."""

    def __init__(self, orders: list[UserOrder], trades: list[UserTrade], cash: int) -> None:
        self.orders, self.listed, self.balance = orders, trades, cash
        self.shares_of: dict[str, int] = {}

    async def open_orders(self) -> list[UserOrder]:
        return self.orders

    async def trades(self, after_ms: int) -> list[UserTrade]:
        return self.listed

    async def cash(self, *, fresh: bool = False) -> int:
        return self.balance

    async def shares(self, token: str, *, fresh: bool = False) -> int:
        # One that the listed trades have brought was not asked for; its fill is too young to judge.
        return self.shares_of.get(token, 0)


def _parts(
    settings: Settings, client: Any, store: Store, owner: str, reader: Answers | None = None
) -> Parts:
    return build(
        settings,
        cast("VenueClient", client),
        store,
        _NoMarkets(),
        NoNews(),
        signer=signer_of(settings),
        owner=owner,
        run_id=0,
        killed=lambda: True,  # nothing is ever sent again from here
        trip=lambda _: None,
        reader=reader,
    )


async def look(settings: Settings, folder: Path) -> Report:
    """Return how the venue differs from the journal in ``folder``; changes neither.

    Raises VenueError, NotSent or NoAnswer if an answer is missing or not whole.
    """
    async with venue_client(settings, signer_of(settings), NoNews()) as client:
        asking = _Asking(client)
        client.credentials = await obtain_credentials(cast("VenueClient", asking))
        scout = _parts(settings, asking, Store(_DryJournal(list(replay(folder)))), "").desk
        asked_ns, asked_epoch_ns = clock.monotonic_ns(), clock.epoch_ns()
        reader = scout.reader
        since_ms = scout.unsettled_from_ms()
        canned = _Canned(
            await reader.open_orders(), await reader.trades(since_ms), await reader.cash()
        )
        raws = list(replay(folder))
        journal = _DryJournal(list(raws))
        store = Store(journal)
        desk = _parts(settings, asking, store, client.credentials.api_key, canned).desk
        for token in desk.recovery.tokens():
            canned.shares_of[token] = await reader.shares(token, fresh=True)
        _protect(store, raws, asked_epoch_ns)
        report = await _compare(desk, store, canned, asked_ns)
    return {"applied": False, **report, "would_write": dict(journal.written)}


def _protect(store: Store, raws: list[JournalRecord], asked_epoch_ns: int) -> None:
    """Leave alone what the executor did after the venue was asked."""
    for raw in raws:
        if raw.epoch_ns > asked_epoch_ns:
            for order in store.orders_of(decode(raw)):
                order.touched_ns = store.touched_ns = NEVER


async def _compare(desk: AccountDesk, store: Store, canned: _Canned, asked_ns: int) -> Report:
    unknown = len(list(store.in_state(OrderState.UNKNOWN, OrderState.SENT)))
    working = len(store.working)
    known = set(store.by_id)
    differences = await desk.reconcile()
    findings = [*await desk.recovery.compare_shares(asked_ns, every=True)]
    ledger = store.positions.view()
    rest = store.touched_ns < NEVER and not store.working and not ledger.pending_fills
    return {
        "orders": {"journal": len(known), "working": working, "unknown": unknown,
                   "venue": len(canned.orders)},
        "cash_micro": {"ledger": ledger.cash_micro, "venue": canned.balance, "compared": rest},
        "trades": len(canned.listed),
        "differences": sorted({*differences, *(f"{f.code} {f.subject}: ledger {f.ours}, "
                                               f"venue {f.theirs}" for f in findings)}),
    }  # fmt: skip


async def mend(
    settings: Settings, folder: Path, *, accept_zero: bool, told: Callable[[str], None]
) -> Report:
    """Compare until nothing is in doubt, then adopt what still differs into the journal.

    HostError if an executor has the journal. A balance of zero is adopted only with
    ``accept_zero``.
    """
    execute = settings.execute
    with Journal(
        folder, segment_bytes=execute.journal_segment_bytes, sync_policy=execute.journal_sync
    ) as journal:
        before = journal.next_sequence
        store = Store(journal)
        if not store.opened:
            raise ConfigError(f"{folder} has no opening balance yet: start the executor once")
        async with venue_client(settings, signer_of(settings), NoNews()) as client:
            client.credentials = await obtain_credentials(client)
            parts = _parts(settings, client, store, client.credentials.api_key)
            parts.resolver.restart()
            differences = await _until_clear(parts, store, told)
            adopted = await _adopt(parts.desk, accept_zero)
        numbers = {"working": len(store.working), "cash_micro": store.positions.view().cash_micro}
        wrote = journal.next_sequence - before
    return {"applied": True, "differences": differences, "adopted": adopted, **numbers,
            "records_written": wrote}  # fmt: skip


async def _until_clear(parts: Parts, store: Store, told: Callable[[str], None]) -> list[str]:
    """Compare until no outcome is unknown and no fill unsettled, or it has been tried enough."""
    differences: list[str] = []
    for _ in range(MEND_TRIES_MAX):
        try:
            differences = await parts.desk.reconcile()
            if parts.resolver.doubtful():
                await parts.desk.ask()
        except OverroundError as error:
            told(f"not compared: {error}")
        else:
            if not parts.resolver.doubtful() and not store.positions.pending():
                return differences
        await asyncio.sleep(MEND_PAUSE_S)
    return differences


async def _adopt(desk: AccountDesk, accept_zero: bool) -> list[str]:
    asked_ns = clock.monotonic_ns()
    recovery, adopted = desk.recovery, []
    for one in await recovery.compare_shares(asked_ns, every=True):
        if one.code != "zero" or accept_zero:
            recovery.adjust(one.subject, one.theirs - one.ours, "hand")
            adopted.append(f"{one.theirs - one.ours} lots of {one.subject}")
    for one in (await recovery.compare_cash(clock.monotonic_ns()))[1]:
        recovery.adjust("", 0, "hand", one.theirs - one.ours)
        adopted.append(f"{one.theirs - one.ours} micro-units of cash")
    return adopted
