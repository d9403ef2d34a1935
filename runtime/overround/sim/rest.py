"""Public REST answers of the CLOB: books, prices and what a client must know to make an order.

Numbers and strings are exactly as the venue sends them: tick sizes and minimum sizes of market
records are JSON numbers, every price and size of a book is a string.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from overround.sim.answers import END_CURSOR, Handler, error, json_response
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.sim.payload import read_json
from overround.sim.rewards import AGE_S, reward_rules
from overround.units import LOTS_PER_SHARE, format_price, parse_price

__all__ = ["END_CURSOR", "PublicApi", "error", "json_response"]

BOOKS_MAX = 500
"""Tokens one request for many may name."""

NO_BOOK = "No orderbook exists for the requested token id"

Found = tuple[SimMarket, int]
Asked = tuple[Found, str]
"""A market's outcome and the side named with it, "" for none."""


def number(price_ticks: int) -> float:
    """Return a price as the JSON number the venue writes."""
    return float(format_price(price_ticks))


def middle(bid_ticks: int, ask_ticks: int) -> str:
    """Return the mid price as decimal text, exact to the half of a tick."""
    doubled = bid_ticks + ask_ticks
    whole = format_price(doubled // 2)
    return f"{float(whole):.4f}5" if doubled % 2 else whole


class PublicApi:
    """Handlers of the CLOB's market data, which needs no login."""

    def __init__(self, exchange: Exchange, *, version: int = 2) -> None:
        self._exchange = exchange
        self._version_number = version

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        table: list[tuple[str, Handler]] = [
            ("/", self._ok),
            ("/ok", self._ok),
            ("/time", self._time),
            ("/version", self._version),
            ("/book", self._book),
            ("/tick-size", self._tick_size),
            ("/tick-size/{token}", self._tick_size),
            ("/neg-risk", self._neg_risk),
            ("/neg-risk/{token}", self._neg_risk),
            ("/fee-rate", self._fee_rate),
            ("/fee-rate/{token}", self._fee_rate),
            ("/markets-by-token/{token}", self._by_token),
            ("/clob-markets/{condition}", self._clob_market),
        ]
        routes = [web.get(path, handler) for path, handler in table]
        single: list[tuple[str, Callable[[Found, str], Any]]] = [
            ("/midpoint", lambda found, _: {"mid": self.mid(found)}),
            ("/price", lambda found, side: {"price": self._best(found, side)}),
            ("/spread", lambda found, _: {"spread": self._spread(found)}),
            ("/last-trade-price", lambda found, _: self._last_trade(found)),
        ]
        routes += [web.get(path, self._for_one(path, make)) for path, make in single]
        many: list[tuple[str, Callable[[list[Asked]], Any]]] = [
            ("/midpoints", lambda asked: {m.token(o): self.mid((m, o)) for (m, o), _ in asked}),
            ("/prices", self._prices),
            ("/spreads", lambda asked: {m.token(o): self._spread((m, o)) for (m, o), _ in asked}),
            ("/last-trades-prices", self._last_trades),
        ]
        for path, make in many:
            handler = self._for_many(make)
            routes += [web.get(path, handler), web.post(path, handler)]
        return [*routes, web.get("/books", self._books), web.post("/books", self._books)]

    # -- what a token is -----------------------------------------------------------------

    async def _ok(self, _: web.Request) -> web.Response:
        return json_response("OK")

    async def _time(self, _: web.Request) -> web.Response:
        return json_response(self._exchange.now_s)

    async def _version(self, _: web.Request) -> web.Response:
        return json_response({"version": self._version_number})

    def _token(self, request: web.Request) -> Found | None:
        token = request.match_info.get("token") or request.query.get("token_id", "")
        return self._exchange.catalog.by_token.get(token)

    async def _asked(self, request: web.Request) -> list[tuple[str, str]]:
        """Return the (token, side) pairs of a request for many; ValueError if it is unreadable."""
        if request.method == "GET":
            tokens = [t for t in request.query.get("token_ids", "").split(",") if t]
            sides = request.query.get("sides", "").split(",")
            sides += [""] * (len(tokens) - len(sides))
            return list(zip(tokens, sides, strict=False))
        body = read_json(await request.read())
        try:
            return [(str(item["token_id"]), str(item.get("side", ""))) for item in body]
        except (TypeError, KeyError, AttributeError):
            raise ValueError("not a list of tokens") from None

    def _known(self, asked: list[tuple[str, str]]) -> list[Asked]:
        by_token = self._exchange.catalog.by_token
        return [(by_token[token], side) for token, side in asked if token in by_token]

    # -- books ---------------------------------------------------------------------------

    async def _book(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, NO_BOOK)
        return web.Response(text=self._book_text(*found), content_type="application/json")

    def _book_text(self, market: SimMarket, outcome: int) -> str:
        stale = self._exchange.faults.stale_books
        frozen = stale.get(market.token(outcome)) if stale else None
        return frozen or self._exchange.books[market.index].rest_text(outcome)

    async def _books(self, request: web.Request) -> web.Response:
        try:
            asked = await self._asked(request)
        except ValueError:
            return error(400, "Invalid payload")
        if len(asked) > BOOKS_MAX:
            return error(400, "Payload exceeds the limit")
        texts = [self._book_text(*found) for found, _ in self._known(asked)]
        return web.Response(text="[" + ",".join(texts) + "]", content_type="application/json")

    # -- prices --------------------------------------------------------------------------

    def _for_one(self, path: str, make: Callable[[Found, str], Any]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            found = self._token(request)
            if found is None:
                return error(404, NO_BOOK)
            side = request.query.get("side", "").upper()
            if path == "/price" and side not in ("BUY", "SELL"):
                return error(400, "Invalid side")
            return json_response(make(found, side))

        return handler

    def _for_many(self, make: Callable[[list[Asked]], Any]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            try:
                asked = await self._asked(request)
            except ValueError:
                return error(400, "Invalid payload")
            if len(asked) > BOOKS_MAX:
                return error(400, "Payload exceeds the limit")
            return json_response(make(self._known(asked)))

        return handler

    def _top(self, found: Found) -> tuple[int, int]:
        bid, ask = self._exchange.books[found[0].index].best(found[1])
        return parse_price(bid), parse_price(ask)

    def mid(self, found: Found) -> str:
        """Return the mid price of a token."""
        return middle(*self._top(found))

    def _best(self, found: Found, side: str) -> str:
        # BUY is the best bid: the venue's words about it contradict each other, its numbers do not.
        return format_price(self._top(found)[side.upper() == "SELL"])

    def _spread(self, found: Found) -> str:
        bid, ask = self._top(found)
        return format_price(ask - bid)

    def _prices(self, asked: list[Asked]) -> dict[str, dict[str, str]]:
        prices: dict[str, dict[str, str]] = {}
        for found, side in asked:
            sides = [side.upper()] if side.upper() in ("BUY", "SELL") else ["BUY", "SELL"]
            known = prices.setdefault(found[0].token(found[1]), {})
            known.update({name: self._best(found, name) for name in sides})
        return prices

    def _last_trade(self, found: Found) -> dict[str, str]:
        last = self._exchange.engine.last_trade(found[0].index)
        if last is None:
            return {"price": "0.5", "side": ""}
        return {"price": format_price(last.price_ticks), "side": last.side.name}

    def _last_trades(self, asked: list[Asked]) -> list[dict[str, str]]:
        return [
            {"token_id": found[0].token(found[1]), **self._last_trade(found)}
            for found, _ in asked
            if self._exchange.engine.last_trade(found[0].index) is not None
        ]

    # -- what an order needs -------------------------------------------------------------

    async def _tick_size(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, "market not found")
        return json_response({"minimum_tick_size": number(found[0].rules.tick_ticks)})

    async def _neg_risk(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, "market not found")
        return json_response({"neg_risk": found[0].rules.neg_risk})

    async def _fee_rate(self, request: web.Request) -> web.Response:
        if self._token(request) is None:
            return error(404, "market not found")
        return json_response({"base_fee": 0})

    async def _by_token(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, "market not found")
        market = found[0]
        return json_response(
            {
                "condition_id": market.condition_id,
                "primary_token_id": market.token_yes,
                "secondary_token_id": market.token_no,
            }
        )

    async def _clob_market(self, request: web.Request) -> web.Response:
        market = self._exchange.catalog.by_condition.get(request.match_info["condition"])
        if market is None:
            return error(404, "market not found")
        rules = market.rules
        record: dict[str, Any] = {
            "c": market.condition_id,
            "t": [
                {"t": market.token_yes, "o": market.outcomes[0]},
                {"t": market.token_no, "o": market.outcomes[1]},
            ],
            "mos": rules.min_size_lots // LOTS_PER_SHARE,
            "mts": number(rules.tick_ticks),
            "mbf": 0,
            "tbf": 0,
            "ao": market.accepting,
            "cbos": False,
            "itode": market.hold_ms > 0,
            "sd": market.seconds_delay,
        }
        if rules.neg_risk:
            record["nr"] = True
        if rules.fee_rate_ppm:
            record["fd"] = {
                "r": rules.fee_rate_ppm / 1_000_000,
                "e": rules.fee_exponent,
                "to": True,
            }
        if reward_rules(market):
            record["r"] = {
                "mi": market.gamma["rewardsMinSize"],
                "ma": market.gamma["rewardsMaxSpread"],
                "moas": AGE_S,
            }
        return json_response(record)
