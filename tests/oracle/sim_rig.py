"""The exchange without sockets: a hand-turned clock, a hand-run scheduler, lists for sinks."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overround.match.types import OrderType, Side
from overround.sim.catalog import SimCatalog, SimMarket
from overround.sim.exchange import Exchange, Settlement
from overround.sim.intake import Intake
from overround.sim.members import Member, funded_signers
from overround.sim.orderlog import OrderLog
from overround.sim.records import OrderRecord
from overround.venues.polymarket.auth import Credentials, Signer
from overround.venues.polymarket.orders import (
    OrderParams,
    OrderSigner,
    exchange_domain,
    order_body,
)

START_MS = 1_795_345_200_000
SHARE = 1_000_000


class Scheduler:
    """Wall time in nanoseconds that moves only when told, and actions due at it."""

    def __init__(self) -> None:
        self.now_ns = START_MS * 1_000_000
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        at_ns = self.now_ns + round(seconds * 1e9)
        heapq.heappush(self._due, (at_ns, next(self._count), action))

    def run(self, milliseconds: float) -> None:
        until_ns = self.now_ns + round(milliseconds * 1e6)
        while self._due and self._due[0][0] <= until_ns:
            self.now_ns, _, action = heapq.heappop(self._due)
            action()
        self.now_ns = until_ns


@dataclass
class Sink:
    """Keeps what a socket was sent."""

    texts: list[str] = field(default_factory=list)

    def send(self, text: str) -> None:
        self.texts.append(text)

    def take(self) -> list[Any]:
        taken, self.texts = self.texts, []
        return [json.loads(text) for text in taken]


class Rig:
    """An exchange with one funded member that signs real orders."""

    def __init__(self, catalog: SimCatalog | None = None, log: Path | None = None) -> None:
        self.scheduler = Scheduler()
        self.exchange = Exchange(
            catalog or SimCatalog.recorded(),
            seed=7,
            now_ns=lambda: self.scheduler.now_ns,
            later=self.scheduler.later,
            log=OrderLog(log),
            settlement=Settlement(50, 150),
            swapped_share=0.0,
        )
        self.intake = Intake(self.exchange.catalog, strict_amounts=True)
        self.signer = funded_signers(7, 1)[0][1]
        self.member, self.credentials = self.join(self.signer)
        self._salt = itertools.count(1)

    def join(self, signer: Signer, cash: int = 10_000) -> tuple[Member, Credentials]:
        member = self.exchange.members.join(signer.address)
        credentials = self.exchange.members.create_key(signer.address, 0)
        assert credentials is not None
        self.exchange.fund(member, cash * SHARE)
        return member, credentials

    def body(
        self,
        token: str,
        side: Side,
        cash: int,
        shares: int,
        kind: OrderType = OrderType.GTC,
        **options: Any,
    ) -> Any:
        market = self.exchange.catalog.by_token[token][0]
        maker, taker = (cash, shares) if side == Side.BUY else (shares, cash)
        params = OrderParams(
            salt=options.pop("salt", None) or next(self._salt),
            maker=self.signer.address,
            signer=self.signer.address,
            token_id=int(token),
            maker_amount=maker,
            taker_amount=taker,
            side=int(side),
            signature_type=0,
            timestamp_ms=START_MS,
        )
        domain = exchange_domain(neg_risk=market.rules.neg_risk)
        signed = OrderSigner(self.signer).sign(params, domain)
        return json.loads(order_body(signed, self.credentials.api_key, kind, **options))

    def accept(self, body: Any) -> OrderRecord:
        now_ms = self.exchange.now_ms
        return self.intake.accept(body, self.member, self.credentials, now_ms)

    def watch(self, market: SimMarket, *, custom: bool = False) -> Sink:
        sink = Sink()
        socket = self.exchange.channel.connect(sink)
        tokens = [market.token_yes, market.token_no]
        message = {"assets_ids": tokens, "type": "market", "custom_feature_enabled": custom}
        self.exchange.channel.on_text(socket, json.dumps(message))
        return sink

    def listen(self) -> Sink:
        sink = Sink()
        socket = self.exchange.users.connect(sink)
        auth = {
            "apiKey": self.credentials.api_key,
            "secret": self.credentials.secret,
            "passphrase": self.credentials.passphrase,
        }
        assert self.exchange.users.on_text(socket, json.dumps({"type": "user", "auth": auth}))
        return sink


class BookReader:
    """A slow, obvious client of the market channel that recomputes every hash with json."""

    def __init__(self, neg_risk: dict[str, bool]) -> None:
        self.neg_risk = neg_risk
        self.books: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        self.ticks: dict[str, str] = {}
        self.last: dict[str, str] = {}
        self.checked = 0
        self.pending: list[tuple[str, str, str, str, str, str, str]] = []
        self._burst: dict[str, tuple[str, dict[str, str]]] = {}

    def digest(self, market: str, token: str, stamp: str, last: str) -> str:
        bids, asks = self.books[token]
        book = {
            "market": market,
            "asset_id": token,
            "timestamp": stamp,
            "hash": "",
            "bids": [{"price": p, "size": bids[p]} for p in sorted(bids, key=float)],
            "asks": [{"price": p, "size": asks[p]} for p in sorted(asks, key=float, reverse=True)],
            "min_order_size": "5",
            "tick_size": self.ticks[market],
            "neg_risk": self.neg_risk[market],
            "last_trade_price": last,
        }
        text = json.dumps(book, separators=(",", ":"))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def feed(self, frame: Any) -> None:
        for event in frame if isinstance(frame, list) else [frame]:
            kind, market = event["event_type"], event["market"]
            if kind in ("book", "price_change"):
                self._begin(market, event["timestamp"])
            if kind == "book":
                self._book(market, event)
            elif kind == "price_change":
                for change in event["price_changes"]:
                    side = self.books[change["asset_id"]][change["side"] == "SELL"]
                    if change["size"] == "0":
                        side.pop(change["price"], None)
                    else:
                        side[change["price"]] = change["size"]
                    self._burst[market][1][change["asset_id"]] = change["hash"]
            elif kind == "last_trade_price":
                whole, _, rest = event["price"].partition(".")
                self.last[market] = f"{whole}.{rest.ljust(3, '0')}"
                self._retry(market)
            elif kind == "tick_size_change":
                if market in self._burst:
                    self.end(market)
                self.ticks[market] = event["new_tick_size"]

    def _book(self, market: str, event: Any) -> None:
        sides = [{lv["price"]: lv["size"] for lv in event[name]} for name in ("bids", "asks")]
        self.books[event["asset_id"]] = (sides[0], sides[1])
        if "tick_size" in event:
            self.ticks[market] = event["tick_size"]
            self.last[market] = event["last_trade_price"]
        self._burst[market][1][event["asset_id"]] = event["hash"]

    def _begin(self, market: str, stamp: str) -> None:
        if market in self._burst and self._burst[market][0] != stamp:
            self.end(market)
        self._burst.setdefault(market, (stamp, {}))

    def end(self, market: str) -> None:
        stamp, hashes = self._burst.pop(market)
        for token, wanted in hashes.items():
            if self.digest(market, token, stamp, self.last[market]) == wanted:
                self.checked += 1
            else:  # perhaps the print is still to come
                bids, asks = self.books[token]
                saved = json.dumps([bids, asks])
                self.pending.append(
                    (market, token, stamp, wanted, saved, self.last[market], self.ticks[market])
                )

    def _retry(self, market: str) -> None:
        for item in [entry for entry in self.pending if entry[0] == market]:
            _, token, stamp, wanted, saved, _, tick = item
            now, tick_now = self.books[token], self.ticks[market]
            self.ticks[market] = tick
            bids, asks = json.loads(saved)
            self.books[token] = (bids, asks)
            if self.digest(market, token, stamp, self.last[market]) == wanted:
                self.pending.remove(item)
                self.checked += 1
            self.books[token], self.ticks[market] = now, tick_now

    def finish(self) -> None:
        for market in list(self._burst):
            self.end(market)
