"""How one executor is put together: which part knows which, and what each is told."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from overround import clock
from overround.config.load import load_private_key
from overround.config.schema import ARMED_VARIABLE, Mode, Settings, is_production
from overround.decide.risk import RiskGate
from overround.execute.account import AccountDesk
from overround.execute.build import OrderBuilder
from overround.execute.carrier import OrderCarrier
from overround.execute.checkpoint import fingerprint
from overround.execute.client import VenueClient
from overround.execute.executor import Executor
from overround.execute.markets import Markets, SharedMarkets
from overround.execute.news import News
from overround.execute.official import OfficialWire, V1Builder
from overround.execute.permits import Permits
from overround.execute.plans import PlanDesk
from overround.execute.pool import OrderPool
from overround.execute.quotes import QuoteDesk
from overround.execute.recover import Recovery
from overround.execute.resolve import Resolver
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.execute.trader import Trader
from overround.execute.venueview import Answers, VenueReader
from overround.execute.wanted import TargetSource
from overround.ledger.checkpoint import find_checkpoint, write_checkpoint
from overround.ledger.journal import Journal
from overround.ledger.writer import Counts, LedgerWriter, Options
from overround.shm.member import Member
from overround.shm.process import forbid_core_dumps
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.orders import OrderSigner

__all__ = [
    "Parts",
    "build",
    "open_journal",
    "open_store",
    "permits",
    "projection",
    "signer_of",
    "target_sources",
    "use_key",
    "venue_client",
]


CHECKPOINT_RECORDS: Final = 1_000
"""Records that the next start may read again rather than find a checkpoint: some 20 ms."""


class Parts(NamedTuple):
    """What trades for one account."""

    core: Executor
    settlement: Settlement
    resolver: Resolver
    desk: AccountDesk
    plans: PlanDesk
    quotes: QuoteDesk
    pool: OrderPool | None


def signer_of(settings: Settings) -> Signer:
    """Return the account's signer; in mode shadow one of a random key if none is configured."""
    forbid_core_dumps()
    shadow = settings.mode is Mode.SHADOW
    account = settings.account
    if shadow and account.private_key_file is None and not os.environ.get(account.private_key_env):
        return Signer(secrets.token_bytes(32))  # nothing is sent: any key signs as well
    return Signer(load_private_key(account))


def venue_client(settings: Settings, signer: Signer, news: News) -> VenueClient:
    """Return the client that ``[execute] client`` names, not yet open.

    ConfigError if it is not installed, or if an official one is to be used without a key.
    """
    client = VenueClient(
        settings.venue.rest_url,
        signer,
        chain_id=settings.venue.chain_id,
        timeout_ms=settings.venue.request_timeout_ms,
        epoch_s=clock.epoch_s,
        settings=settings.execute,
        news=news,
    )
    if settings.execute.client != "native":
        account = settings.account
        client.wire = OfficialWire(
            settings.execute.client,
            settings.venue.rest_url,
            load_private_key(account),
            chain_id=settings.venue.chain_id,
            signature_type=account.signature_type,
            funder=account.funder,
            threads=settings.execute.connections,
            credentials=lambda: client.credentials,
            clock=clock.monotonic_ns,
        )
    return client


def _builder(settings: Settings, signer: Signer, owner: str) -> OrderBuilder:
    """Return what signs orders, of the version that the client's exchange takes."""
    account = settings.account
    first = settings.execute.client == "py-clob-client"
    builder = (V1Builder if first else OrderBuilder)(
        OrderSigner(signer),
        owner=owner,
        chain_id=settings.venue.chain_id,
        signature_type=account.signature_type,
        funder=account.funder,
    )
    return builder.use_key(load_private_key(account)) if isinstance(builder, V1Builder) else builder


def _pool(
    settings: Settings, store: Store, builder: OrderBuilder, markets: Markets, news: News
) -> OrderPool | None:
    """Return the orders signed ahead, None where nothing is sent."""
    execute = settings.execute
    if not execute.pool_orders_max or settings.mode is Mode.SHADOW:
        return None
    return OrderPool(
        store,
        builder,
        markets,
        news,
        size=execute.pool_orders_max,
        reach=execute.pool_reach_ticks,
        age_max_ns=execute.pool_age_max_ms * clock.NS_PER_MS,
        clock=clock.monotonic_ns,
        epoch_ms=clock.epoch_ms,
    )


def build(
    settings: Settings,
    client: VenueClient,
    store: Store,
    markets: Markets,
    news: News,
    *,
    signer: Signer,
    owner: str,
    run_id: int,
    killed: Callable[[], bool],
    trip: Callable[[str], None],
    reader: Answers | None = None,
) -> Parts:
    """Return the parts of one account, wired up; nothing is started.

    ``reader`` answers what comparisons ask, by default the venue itself.
    """
    now = clock.monotonic_ns
    builder = _builder(settings, signer, owner)
    pool = _pool(settings, store, builder, markets, news)
    armed = os.environ.get(ARMED_VARIABLE) == "1"
    gate = RiskGate(
        settings.risk, settings.mode, armed=armed, own=store.own.exposures,
        production=is_production(settings.venue),
    )  # fmt: skip
    core = Executor(
        store,
        gate,
        markets,
        builder,
        news,
        run_id=run_id,
        clock=now,
        epoch_ms=clock.epoch_ms,
        killed=killed,
        trip=trip,
        shadow=settings.mode is Mode.SHADOW,
        pool=pool,
    )
    settlement = Settlement(store, markets, news, owner=owner, wallet=builder.maker, clock=now)
    quiet_ns = settings.execute.unknown_quiet_ms * clock.NS_PER_MS
    resolver = Resolver(
        store, settlement, news, quiet_ns=quiet_ns, clock=now,
        killed=lambda: killed() or not core.ready,
    )  # fmt: skip
    reader = reader or VenueReader(client, settings.account.signature_type)
    recovery = Recovery(
        store, reader, markets, news, clock=now, epoch_ms=clock.epoch_ms,
        policy=settings.execute.orphan_orders, settle_alarm_ms=settings.execute.settle_alarm_ms,
    )  # fmt: skip
    desk = AccountDesk(
        client,
        core,
        store,
        settlement,
        resolver,
        news,
        clock=now,
        epoch_ms=clock.epoch_ms,
        reader=reader,
        recovery=recovery,
    )
    trader = Trader(store, core, markets, news, settings.execute, now, clock.epoch_ms, run_id)
    return Parts(core, settlement, resolver, desk, PlanDesk(trader), QuoteDesk(trader), pool)


def use_key(parts: Parts, api_key: str) -> None:
    """Trade under another API key from now on; what was signed ahead under the old one is void."""
    parts.core.builder.use_owner(api_key)
    parts.settlement.use_owner(api_key)
    if parts.pool is not None:
        parts.pool.clear("key changed")


def open_journal(settings: Settings, folder: Path, progress: Callable[[], None]) -> Journal:
    """Return the instance's journal, to be read from its newest good checkpoint on."""
    execute, log = settings.execute, structlog.get_logger()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Journal(
        folder,
        segment_bytes=execute.journal_segment_bytes,
        sync_policy=execute.journal_sync,
        progress=progress,
        checkpoint=find_checkpoint(
            folder, fingerprint(), lambda text: log.warning("checkpoint", text=text)
        ),
    )


def open_store(settings: Settings, journal: Journal) -> Store:
    """Return what the journal leads to; a long way there is kept as a checkpoint."""
    store = Store(journal, done_max=settings.execute.done_orders_max)
    log = structlog.get_logger()
    kept = store.checkpoint() if store.replayed >= CHECKPOINT_RECORDS else None
    if kept is not None:
        try:
            write_checkpoint(journal.folder, kept, fingerprint())
        except OSError as error:  # an aid: the journal itself is whole
            log.warning("checkpoint", text=f"not written: {error}")
    journal.refuse_checkpoint()  # the store has it: its bytes would stay for all of this life
    return store


def permits(
    settings: Settings,
    client: VenueClient,
    parts: Parts,
    markets: SharedMarkets,
    *,
    run_id: int,
    spawn: Callable[[Coroutine[Any, Any, None]], None],
    trip: Callable[[str], None],
) -> Permits | None:
    """Return what lets orders out in one call: if wanted, over our own connections only.

    Not with ``journal_sync = "record"``: the call writes records and waits for no disk.
    """
    execute = settings.execute
    wanted = execute.pool_permits and execute.client == "native"
    if not wanted or execute.journal_sync == "record" or settings.mode is Mode.SHADOW:
        return None
    return Permits(
        parts.core,
        parts.pool,
        markets,
        OrderCarrier(client, parts.desk, spawn),
        run_id=run_id,
        clock=clock.monotonic_ns,
        epoch_ns=clock.epoch_ns,
        trip=trip,
    )


def target_sources(member: Member, settings: Settings) -> list[TargetSource]:
    """Return the wanted quotes of every producer of the run."""
    numbers = {row.name: row.number for row in member.roster.processes()}
    lease_ns = settings.supervise.trust_lease_ms * clock.NS_PER_MS
    return [
        TargetSource(member.open(key), numbers[key.removeprefix("targets-")], lease_ns)
        for key in member.keys("targets-")
    ]


def projection(
    settings: Settings, journal: Journal, run_dir: Path, counts: Counts
) -> AbstractContextManager[object]:
    """Return what keeps the journal projected into the database while it is entered."""
    wanted = settings.ledger
    if not wanted.projection:
        return contextlib.nullcontext()
    log = structlog.get_logger()
    environment = dict(os.environ)
    environment.pop(settings.account.private_key_env, None)  # it has no use for the key
    return LedgerWriter(
        journal.folder,
        run_dir,
        Options(
            instance=settings.instance,
            database_url=wanted.database_url,
            batch_records=wanted.batch_records,
            poll_ms=wanted.poll_ms,
            stop_limit_ms=wanted.stop_limit_ms,
        ),
        counts=counts,
        newest=lambda: journal.next_sequence - 1,
        notice=lambda text: log.warning("ledger", text=text),
        environment=environment,
    )
