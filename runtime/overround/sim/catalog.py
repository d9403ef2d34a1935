"""The markets an exchange lists: recorded excerpts, and markets made while it runs.

The recorded five-outcome event and the 15-minute crypto markets come from ``sim/data`` (sources
and licences in its NOTICE). The crypto source names no token ids, so stand-ins are derived from
the condition id; the same derivation serves markets added at run time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from overround.match.types import MarketRules
from overround.units import PRICE_TICKS_MAX, format_price, parse_price, parse_size

__all__ = ["Level", "SimCatalog", "SimEvent", "SimMarket", "derived_token"]

Level = tuple[int, int]
"""A book level as (price_ticks, size_lots)."""

TAKER_HOLD_MS = 150
"""How long crypto up/down markets hold a marketable order, since 2026-09-04."""


POSITION_HOLE = ((1 << 64) - 1) << 40
"""Bits that are zero in every position id of the newer protocol."""


def derived_token(condition_id: str, outcome: int, protocol: int = 2) -> str:
    """Return a stable stand-in token id (decimal uint256) for an outcome of a condition.

    Of protocol 3 it has the form of a position id: module 1 in the top byte, a hole of zero
    bits, the outcome in the low byte.
    """
    number = int.from_bytes(hashlib.sha256(f"{condition_id}/{outcome}".encode()).digest(), "big")
    if protocol == 3:
        number = number >> 8 << 8 & (1 << 248) - 1 & ~POSITION_HOLE | 1 << 248 | outcome
    return str(number)


@dataclass(slots=True)
class SimMarket:
    """One condition: its ids, rules and opening book (YES side, best level first)."""

    index: int
    condition_id: str
    token_yes: str
    token_no: str
    question: str
    slug: str
    outcomes: tuple[str, str]
    rules: MarketRules
    event: SimEvent
    last_trade_text: str
    bids: list[Level]
    asks: list[Level]
    rebate_rate: float = 0.25
    hold_ms: int = 0
    mid_path_ticks: tuple[int, ...] = ()
    gamma: dict[str, Any] = field(default_factory=dict)
    accepting: bool = True
    rank: int = 0
    """How many generated markets are busier; 0 for recorded ones and those added later."""
    protocol: int = 2
    """Which domain its orders are signed for: 2, or 3 for the newer protocol."""
    seconds_delay: int = 0
    """How long a marketable order waits, answered as delayed (live sports)."""
    yes_worth_ticks: int | None = None
    """What a YES token redeems for in ticks once the market is resolved: 0, 5,000 or 10,000."""

    def token(self, outcome: int) -> str:
        """Return the token id of outcome 0 (YES) or 1 (NO)."""
        return self.token_no if outcome else self.token_yes


@dataclass(slots=True)
class SimEvent:
    """A group of markets; ``set_id`` is the neg-risk market id, empty for a lone market."""

    id: str
    slug: str
    title: str
    set_id: str
    gamma: dict[str, Any]
    markets: list[SimMarket] = field(default_factory=list)


def _levels(pairs: list[list[str]]) -> list[Level]:
    return [(parse_price(price), parse_size(size)) for price, size in pairs]


def _load(name: str) -> dict[str, Any]:
    text = resources.files("overround.sim").joinpath("data", name).read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class SimCatalog:
    """Every event and market, by index, condition id and token id. Grows, never shrinks."""

    def __init__(self) -> None:
        self.events: list[SimEvent] = []
        self.markets: list[SimMarket] = []
        self.by_condition: dict[str, SimMarket] = {}
        self.by_token: dict[str, tuple[SimMarket, int]] = {}

    @classmethod
    def recorded(cls) -> SimCatalog:
        """Return the default catalog: the neg-risk event and three crypto markets."""
        catalog = cls()
        catalog._load_event(_load("fed_june_2026.json"))
        for record in _load("btc15m_20260928.json")["markets"]:
            catalog._load_crypto(record)
        return catalog

    def _add(self, market: SimMarket) -> SimMarket:
        self.markets.append(market)
        market.event.markets.append(market)
        self.by_condition[market.condition_id] = market
        self.by_token[market.token_yes] = (market, 0)
        self.by_token[market.token_no] = (market, 1)
        return market

    def _load_event(self, document: dict[str, Any]) -> None:
        gamma = document["event"]
        event = SimEvent(
            gamma["id"], gamma["slug"], gamma["title"], gamma["negRiskMarketID"], gamma
        )
        self.events.append(event)
        for record in document["markets"]:
            clob, market = record["clob"], record["gamma"]
            fee = clob["fd"]
            rules = MarketRules(
                index=len(self.markets),
                tick_ticks=parse_price(str(clob["mts"])),
                min_size_lots=parse_size(str(clob["mos"])),
                neg_risk=True,
                fee_rate_ppm=round(fee["r"] * 1_000_000),
                fee_exponent=fee["e"],
            )
            self._add(
                SimMarket(
                    index=rules.index,
                    condition_id=record["condition_id"],
                    token_yes=clob["t"][0]["t"],
                    token_no=clob["t"][1]["t"],
                    question=market["question"],
                    slug=market["slug"],
                    outcomes=("Yes", "No"),
                    rules=rules,
                    event=event,
                    last_trade_text=record["last_trade_price"],
                    bids=_levels(record["bids"]),
                    asks=_levels(record["asks"]),
                    gamma=market,
                )
            )

    def _load_crypto(self, record: dict[str, Any]) -> None:
        market = self.add_market(
            question=record["question"],
            slug=record["slug"],
            bids=_levels(record["bids"]),
            asks=_levels(record["asks"]),
            condition_id=record["condition_id"],
            outcomes=("Up", "Down"),
            fee_rate_ppm=70_000,
            hold_ms=TAKER_HOLD_MS,
        )
        market.rebate_rate = 0.2
        market.mid_path_ticks = tuple(record["mid_ticks_per_s"])

    def add_market(
        self,
        *,
        question: str,
        slug: str,
        bids: list[Level],
        asks: list[Level],
        condition_id: str = "",
        tokens: tuple[str, str] | None = None,
        outcomes: tuple[str, str] = ("Yes", "No"),
        tick_ticks: int = 100,
        min_size_lots: int = 5_000_000,
        fee_rate_ppm: int = 40_000,
        hold_ms: int = 0,
        protocol: int = 2,
        event: SimEvent | None = None,
    ) -> SimMarket:
        """Add a market to a listed event, or alone in an event of its own, and return it.

        Raises ValueError, and adds nothing, if the condition is already listed, the protocol
        unknown or the tick no part of 1.
        """
        if protocol not in (2, 3):
            raise ValueError(f"protocol {protocol} is neither 2 nor 3")
        if not 0 < tick_ticks < PRICE_TICKS_MAX or PRICE_TICKS_MAX % tick_ticks:
            raise ValueError(f"tick {format_price(tick_ticks)} does not divide 1")
        index = len(self.markets)
        condition_id = condition_id or "0x" + hashlib.sha256(f"{slug}/{index}".encode()).hexdigest()
        if condition_id in self.by_condition:
            raise ValueError(f"market {condition_id} is already listed")
        if event is None:
            event_id = str(900_000 + index)
            gamma = {"id": event_id, "slug": slug, "title": question}
            event = SimEvent(event_id, slug, question, "", gamma)
            self.events.append(event)
        rules = MarketRules(
            index=index,
            tick_ticks=tick_ticks,
            min_size_lots=min_size_lots,
            neg_risk=bool(event.set_id),
            fee_rate_ppm=fee_rate_ppm,
        )
        return self._add(
            SimMarket(
                index=index,
                condition_id=condition_id,
                token_yes=tokens[0] if tokens else derived_token(condition_id, 0, protocol),
                token_no=tokens[1] if tokens else derived_token(condition_id, 1, protocol),
                question=question,
                slug=slug,
                outcomes=outcomes,
                rules=rules,
                event=event,
                last_trade_text="0.500",
                bids=bids,
                asks=asks,
                hold_ms=hold_ms,
                protocol=protocol,
            )
        )
