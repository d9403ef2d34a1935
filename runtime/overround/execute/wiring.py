"""How one executor is put together: which part knows which, and what each is told."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import NamedTuple

from overround import clock
from overround.config.load import load_private_key
from overround.config.schema import ARMED_VARIABLE, Mode, Settings
from overround.decide.risk import RiskGate
from overround.execute.account import AccountDesk
from overround.execute.build import OrderBuilder
from overround.execute.client import VenueClient
from overround.execute.executor import Executor
from overround.execute.markets import Markets
from overround.execute.news import News
from overround.execute.plans import PlanDesk
from overround.execute.resolve import Resolver
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.orders import OrderSigner

__all__ = ["Parts", "build", "signer_of"]


class Parts(NamedTuple):
    """What trades for one account."""

    core: Executor
    settlement: Settlement
    resolver: Resolver
    desk: AccountDesk
    plans: PlanDesk


def signer_of(settings: Settings) -> Signer:
    """Return the account's signer; in mode shadow one of a random key if none is configured."""
    shadow = settings.mode is Mode.SHADOW
    account = settings.account
    if shadow and account.private_key_file is None and not os.environ.get(account.private_key_env):
        return Signer(secrets.token_bytes(32))  # nothing is sent: any key signs as well
    return Signer(load_private_key(account))


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
) -> Parts:
    """Return the parts of one account, wired up; nothing is started."""
    now, account = clock.monotonic_ns, settings.account
    builder = OrderBuilder(
        OrderSigner(signer),
        owner=owner,
        chain_id=settings.venue.chain_id,
        signature_type=account.signature_type,
        funder=account.funder,
    )
    core = Executor(
        store,
        RiskGate(settings.risk, settings.mode, armed=os.environ.get(ARMED_VARIABLE) == "1"),
        markets,
        builder,
        news,
        run_id=run_id,
        clock=now,
        epoch_ms=clock.epoch_ms,
        killed=killed,
        trip=trip,
        shadow=settings.mode is Mode.SHADOW,
    )
    settlement = Settlement(store, markets, news, owner=owner, clock=now)
    resolver = Resolver(
        store,
        settlement,
        news,
        quiet_ns=settings.execute.unknown_quiet_ms * clock.NS_PER_MS,
        clock=now,
        killed=killed,
    )
    desk = AccountDesk(
        client,
        core,
        store,
        settlement,
        resolver,
        news,
        clock=now,
        epoch_ms=clock.epoch_ms,
        signature_type=account.signature_type,
    )
    plans = PlanDesk(
        store,
        core,
        markets,
        news,
        settings.execute,
        clock=now,
        epoch_ms=clock.epoch_ms,
        run_id=run_id,
    )
    return Parts(core, settlement, resolver, desk, plans)
