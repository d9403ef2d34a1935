"""The market channel: who subscribed to what, and the frames of each burst.

No I/O: a socket is anything with ``send(text)``. Formats, order of frames and time stamps follow
the recordings (a burst's frames share one stamp, and each already carries the final hash and
best prices of the burst).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any, Protocol

from overround.match.types import BookSide
from overround.sim.catalog import SimCatalog, SimMarket
from overround.sim.payload import read_json
from overround.sim.wirebook import WireBook
from overround.units import format_price, format_size, parse_price

__all__ = ["LevelChange", "MarketChannel", "MarketSocket", "Print"]

LevelChange = tuple[BookSide, int, int]
"""One changed level in YES terms: side, price_ticks, whole size_lots."""

Print = tuple[int, str, int, int, str]
"""A trade to be printed: outcome, side text, price_ticks, size_lots, transaction hash."""

PRINT_DELAY_MS = (37.0, 4.0, 33.0, 48.0)
"""Mean, deviation and bounds of the time from a match to its print (recordings, n = 10)."""

REFUSED = "INVALID OPERATION"
"""Answer to a message that cannot be read."""

OPERATIONS = ("subscribe", "unsubscribe")

LEVELS = (1, 2, 3)
"""Depths a subscription may name. Nobody has seen 1 or 3 differ from 2: all are served alike."""

Later = Callable[[float, Callable[[], None]], object]
"""``later(seconds, action)``: run an action after a delay (an event loop's ``call_later``)."""


class Sink(Protocol):
    """Where a socket's texts go; must neither block nor raise."""

    def send(self, text: str) -> None:
        """Queue one text frame."""


class MarketSocket:
    """One subscriber: its assets in order of subscription, and whether it wants extras."""

    __slots__ = ("assets", "custom", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.assets: dict[str, None] = {}
        self.custom = False


class MarketChannel:
    """Publishes books and bursts to subscribers, and counts what it sent.

    A subscription names assets and may name ``operation`` (absent in the first message),
    ``level``, ``initial_dump`` (false: no opening books) and ``custom_feature_enabled``, which
    alone turns on best_bid_ask, new_market and market_resolved, for the whole socket. An asset
    the socket has already is refused, the flag of the same message is not.
    """

    def __init__(
        self,
        catalog: SimCatalog,
        books: list[WireBook],
        random: Random,
        later: Later,
        *,
        swapped_share: float = 0.02,
    ) -> None:
        self.sockets: set[MarketSocket] = set()
        self.frames_sent = 0
        self.frames_dropped = 0
        self.silent: set[int] = set()
        self.drop_next: dict[int, int] = {}
        self._catalog = catalog
        self._books = books
        self._random = random
        self._later = later
        self._swapped_share = swapped_share
        self.assets_max: Callable[[], int] = lambda: 0
        """Assets a socket is served; those above it are taken in silence. 0: any number."""
        self.duplicates = 0
        """Assets refused because their socket had them already."""
        self.unserved = 0
        """Assets taken above ``assets_max``."""
        self._by_asset: dict[str, dict[MarketSocket, None]] = {}
        self._prints: dict[int, deque[tuple[Print, int]]] = {}

    # -- subscribers ---------------------------------------------------------------------

    def connect(self, sink: Sink) -> MarketSocket:
        """Return a new socket without subscriptions."""
        socket = MarketSocket(sink)
        self.sockets.add(socket)
        return socket

    def disconnect(self, socket: MarketSocket) -> None:
        """Forget a socket and its subscriptions."""
        self.sockets.discard(socket)
        for asset in socket.assets:
            self._by_asset.get(asset, {}).pop(socket, None)
        socket.assets.clear()

    def on_text(self, socket: MarketSocket, text: str) -> None:
        """Take one text frame from a client; what cannot be read is answered and ignored."""
        if text == "PING":
            socket.sink.send("PONG")
            return
        try:
            message = read_json(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            socket.sink.send(REFUSED)
            return
        # The venue applies this even if it refuses the rest of the message.
        if message.get("custom_feature_enabled") is not None:
            socket.custom = message["custom_feature_enabled"] is True
        operation = message.get("operation", "subscribe")
        level = message.get("level", 2)
        known = operation in OPERATIONS if isinstance(operation, str) else False
        if not known or isinstance(level, bool) or level not in LEVELS:
            socket.sink.send(REFUSED)
            return
        listed = message.get("assets_ids", message.get("asset_ids", []))
        assets = [str(asset) for asset in listed] if isinstance(listed, list) else []
        if operation == "unsubscribe":
            self._unsubscribe(socket, assets)
        else:
            self._subscribe(socket, assets, message.get("initial_dump") is not False)

    def _unsubscribe(self, socket: MarketSocket, assets: list[str]) -> None:
        for asset in assets:
            if asset in socket.assets:
                del socket.assets[asset]
                self._by_asset.get(asset, {}).pop(socket, None)

    def _subscribe(self, socket: MarketSocket, assets: list[str], dump: bool) -> None:
        texts = []
        most = self.assets_max()
        for asset in assets:
            if asset not in self._catalog.by_token:
                continue  # the venue ignores unknown ids without a word
            if asset in socket.assets:
                self.duplicates += 1
                continue
            socket.assets[asset] = None
            if most and len(socket.assets) > most:
                self.unserved += 1
                continue
            self._by_asset.setdefault(asset, {})[socket] = None
            market, outcome = self._catalog.by_token[asset]
            if dump and market.index not in self.silent:
                texts.append(self._books[market.index].opening_text(outcome))
        if texts:
            self._send((socket,), "[" + ",".join(texts) + "]\n")

    # -- frames --------------------------------------------------------------------------

    def _send(self, sockets: Iterable[MarketSocket], text: str) -> None:
        for socket in sockets:
            socket.sink.send(text)
            self.frames_sent += 1

    def send_raw(self, text: str) -> None:
        """Send any text to every subscriber (a fault switch)."""
        self._send(tuple(self.sockets), text)

    def _dropped(self, market: int) -> bool:
        if market in self.silent:
            self.frames_dropped += 1
            return True
        left = self.drop_next.get(market, 0)
        if left:
            self.drop_next[market] = left - 1
            self.frames_dropped += 1
            return True
        return False

    def burst(
        self, market: SimMarket, changes: list[LevelChange], prints: list[Print], epoch_ms: int
    ) -> None:
        """Apply a burst to the wire book and publish it.

        ``changes`` hold one entry a level. ``prints`` are the burst's trades in order: the books
        follow the changes at once, the prints 33 to 48 ms later.
        """
        book = self._books[market.index]
        before = book.best_ticks()
        stamp = book.touch(epoch_ms)
        for side, price_ticks, size_lots in changes:
            book.apply(side, price_ticks, size_lots)
        yes = self._by_asset.get(market.token_yes, {})
        no = self._by_asset.get(market.token_no, {})
        if yes or no:
            if book.best_ticks() != before:
                self._best(market, book, yes, no)
            both = yes if not no else {**yes, **no}
            for side, price_ticks, size_lots in changes:
                if not self._dropped(market.index):
                    self._price_change(book, side, price_ticks, size_lots, both, yes, no)
            if prints and market.index not in self.silent:
                self._send(tuple(yes), book.refresh_text(0))
                self._send(tuple(no), book.refresh_text(1))
        for printed in prints:
            self._schedule(market, printed, stamp)

    def _schedule(self, market: SimMarket, printed: Print, stamp: int) -> None:
        """Print a trade later, never before an earlier trade of the same market."""
        mean, deviation, least, most = PRINT_DELAY_MS
        delay = min(max(self._random.gauss(mean, deviation), least), most)
        queue = self._prints.setdefault(market.index, deque())
        print_ms = stamp + round(delay)
        if queue:
            print_ms = max(print_ms, queue[-1][1])
        queue.append((printed, print_ms))
        self._later(delay / 1000, partial(self._print_next, market, queue))

    def _print_next(self, market: SimMarket, queue: deque[tuple[Print, int]]) -> None:
        # Whichever timer fires first prints the oldest: order holds even if timers swap.
        printed, print_ms = queue.popleft()
        self._print(market, printed, print_ms)

    def _price_change(
        self,
        book: WireBook,
        side: BookSide,
        price_ticks: int,
        size_lots: int,
        both: dict[MarketSocket, None],
        yes: dict[MarketSocket, None],
        no: dict[MarketSocket, None],
    ) -> None:
        entries = [book.change_entry(o, side, price_ticks, size_lots) for o in (0, 1)]
        if self._random.random() < 0.5:
            entries.reverse()
        head = f'{{"market":"{book.market.condition_id}", "price_changes":['
        tail = f'], "timestamp":"{book.epoch_ms}", "event_type":"price_change"}}'
        self._send(tuple(both), f"{head}{entries[0]}, {entries[1]}{tail}")
        if self._random.random() < self._swapped_share:
            twice = tuple(socket for socket in yes if socket in no)
            self._send(twice, f"{head}{entries[1]}, {entries[0]}{tail}")

    def _best(
        self,
        market: SimMarket,
        book: WireBook,
        yes: dict[MarketSocket, None],
        no: dict[MarketSocket, None],
    ) -> None:
        if market.index in self.silent:
            return
        for outcome, sockets in ((0, yes), (1, no)):
            wanted = [socket for socket in sockets if socket.custom]
            if wanted:
                bid, ask = book.best(outcome)
                spread = format_price(parse_price(ask) - parse_price(bid))
                self._send(
                    wanted,
                    f'{{"market":"{market.condition_id}", "asset_id":"{market.token(outcome)}", '
                    f'"best_bid":"{bid}", "best_ask":"{ask}", "spread":"{spread}", '
                    f'"timestamp":"{book.epoch_ms}", "event_type":"best_bid_ask"}}',
                )

    def _print(self, market: SimMarket, printed: Print, epoch_ms: int) -> None:
        outcome, side, price_ticks, size_lots, transaction = printed
        if market.index in self.silent:
            return
        token = market.token(outcome)
        self._send(
            tuple(self._by_asset.get(token, ())),
            f'{{"market":"{market.condition_id}", "asset_id":"{token}", '
            f'"price":"{format_price(price_ticks)}", "size":"{format_size(size_lots)}", '
            f'"fee_rate_bps":"0", "side":"{side}", "timestamp":"{epoch_ms}", '
            f'"event_type":"last_trade_price", "transaction_hash":"{transaction}"}}',
        )

    def tick_change(self, market: SimMarket, old_ticks: int, new_ticks: int, epoch_ms: int) -> None:
        """Publish a new tick size for both tokens."""
        book = self._books[market.index]
        stamp = book.touch(epoch_ms)
        book.tick_ticks = new_ticks
        for outcome in (0, 1):
            token = market.token(outcome)
            self._send(
                tuple(self._by_asset.get(token, ())),
                f'{{"market":"{market.condition_id}", "asset_id":"{token}", '
                f'"old_tick_size":"{format_price(old_ticks)}", '
                f'"new_tick_size":"{format_price(new_ticks)}", '
                f'"timestamp":"{stamp}", "event_type":"tick_size_change"}}',
            )

    def announce(self, event: dict[str, Any]) -> None:
        """Send a global event (new_market, market_resolved) to those who asked for extras."""
        wanted = [socket for socket in self.sockets if socket.custom]
        self._send(wanted, json.dumps(event, separators=(", ", ":")))
