"""Public REST answers: market data of the CLOB, and discovery as Gamma gives it.

Numbers and strings are exactly as the venue sends them: tick sizes and minimum sizes of market
records are JSON numbers, every price and size of a book is a string.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from overround.match.types import LastTrade
from overround.sim.catalog import SimEvent, SimMarket
from overround.sim.exchange import Exchange
from overround.sim.payload import read_json
from overround.units import LOTS_PER_SHARE, format_price, parse_price

__all__ = ["PublicApi", "error", "json_response"]

BOOKS_MAX = 500
"""Tokens one ``/books`` request may name."""

PAGE_MAX = 100
"""Events or markets on a Gamma page."""

END_CURSOR = "LTE="
"""The cursor that means there is no further page."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return a compact JSON answer."""
    text = json.dumps(value, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def error(status: int, text: str) -> web.Response:
    """Return the venue's error object."""
    return json_response({"error": text}, status)


def _number(price_ticks: int) -> float:
    return float(format_price(price_ticks))


class PublicApi:
    """Handlers of everything that needs no login."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        get, post = web.get, web.post
        table: list[tuple[str, Handler]] = [
            ("/", self._ok),
            ("/ok", self._ok),
            ("/time", self._time),
            ("/version", self._version),
            ("/book", self._book),
            ("/books", self._books_get),
            ("/midpoint", self._midpoint),
            ("/price", self._price),
            ("/spread", self._spread),
            ("/last-trade-price", self._last_trade),
            ("/tick-size", self._tick_size),
            ("/tick-size/{token}", self._tick_size),
            ("/neg-risk", self._neg_risk),
            ("/neg-risk/{token}", self._neg_risk),
            ("/fee-rate", self._fee_rate),
            ("/fee-rate/{token}", self._fee_rate),
            ("/markets-by-token/{token}", self._by_token),
            ("/clob-markets/{condition}", self._clob_market),
            ("/events/keyset", self._events),
            ("/events", self._events),
            ("/events/slug/{slug}", self._event_by_slug),
            ("/markets/keyset", self._gamma_markets),
        ]
        return [get(path, handler) for path, handler in table] + [post("/books", self._books_post)]

    # -- CLOB ----------------------------------------------------------------------------

    async def _ok(self, _: web.Request) -> web.Response:
        return json_response("OK")

    async def _time(self, _: web.Request) -> web.Response:
        return json_response(self._exchange.now_s)

    async def _version(self, _: web.Request) -> web.Response:
        return json_response({"version": 2})

    def _token(self, request: web.Request) -> tuple[SimMarket, int] | None:
        token = request.match_info.get("token") or request.query.get("token_id", "")
        return self._exchange.catalog.by_token.get(token)

    async def _book(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, "No orderbook exists for the requested token id")
        text = self._book_text(*found)
        return web.Response(text=text, content_type="application/json")

    def _book_text(self, market: SimMarket, outcome: int) -> str:
        stale = self._exchange.faults.stale_books
        frozen = stale.get(market.token(outcome)) if stale else None
        return frozen or self._exchange.books[market.index].rest_text(outcome)

    def _books(self, tokens: list[str]) -> web.Response:
        if len(tokens) > BOOKS_MAX:
            return error(400, "Payload exceeds the limit")
        known = (self._exchange.catalog.by_token.get(token) for token in tokens)
        texts = [self._book_text(*found) for found in known if found]
        return web.Response(text="[" + ",".join(texts) + "]", content_type="application/json")

    async def _books_get(self, request: web.Request) -> web.Response:
        return self._books([t for t in request.query.get("token_ids", "").split(",") if t])

    async def _books_post(self, request: web.Request) -> web.Response:
        try:
            body = read_json(await request.read())
            tokens = [str(item["token_id"]) for item in body]
        except (ValueError, TypeError, KeyError):
            return error(400, "Invalid payload")
        return self._books(tokens)

    def _best(self, request: web.Request) -> tuple[int, int] | None:
        found = self._token(request)
        if found is None:
            return None
        bid, ask = self._exchange.books[found[0].index].best(found[1])
        return parse_price(bid), parse_price(ask)

    async def _midpoint(self, request: web.Request) -> web.Response:
        best = self._best(request)
        if best is None:
            return error(404, "No orderbook exists for the requested token id")
        doubled = best[0] + best[1]
        half = "5" if doubled % 2 else ""
        whole = format_price(doubled // 2)
        text = f"{float(whole):.4f}{half}" if half else whole
        return json_response({"mid": text})

    async def _price(self, request: web.Request) -> web.Response:
        best = self._best(request)
        if best is None:
            return error(404, "No orderbook exists for the requested token id")
        side = request.query.get("side", "").upper()
        if side not in ("BUY", "SELL"):
            return error(400, "Invalid side")
        return json_response({"price": format_price(best[0] if side == "BUY" else best[1])})

    async def _spread(self, request: web.Request) -> web.Response:
        best = self._best(request)
        if best is None:
            return error(404, "No orderbook exists for the requested token id")
        return json_response({"spread": format_price(best[1] - best[0])})

    async def _last_trade(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, "No orderbook exists for the requested token id")
        last: LastTrade | None = self._exchange.engine.last_trade(found[0].index)
        if last is None:
            return json_response({"price": "0.5", "side": ""})
        return json_response({"price": format_price(last.price_ticks), "side": last.side.name})

    async def _tick_size(self, request: web.Request) -> web.Response:
        found = self._token(request)
        if found is None:
            return error(404, "market not found")
        return json_response({"minimum_tick_size": _number(found[0].rules.tick_ticks)})

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
            "mts": _number(rules.tick_ticks),
            "mbf": 0,
            "tbf": 0,
            "ao": market.accepting,
            "cbos": False,
            "itode": market.hold_ms > 0,
            "sd": 0,
        }
        if rules.neg_risk:
            record["nr"] = True
        if rules.fee_rate_ppm:
            record["fd"] = {
                "r": rules.fee_rate_ppm / 1_000_000,
                "e": rules.fee_exponent,
                "to": True,
            }
        return json_response(record)

    # -- Gamma ---------------------------------------------------------------------------

    def _gamma_market(self, market: SimMarket) -> dict[str, Any]:
        rules = market.rules
        bid, ask = self._exchange.books[market.index].best(0)
        mid = (parse_price(bid) + parse_price(ask)) // 2
        prices = [format_price(mid), format_price(10_000 - mid)]
        live: dict[str, Any] = {
            "id": str(500_000 + market.index),
            "question": market.question,
            "conditionId": market.condition_id,
            "slug": market.slug,
            **market.gamma,
            "version": "v2" if market.protocol == 3 else "v1",
            "outcomes": json.dumps(market.outcomes),
            "outcomePrices": json.dumps(prices),
            "clobTokenIds": json.dumps([market.token_yes, market.token_no]),
            "orderPriceMinTickSize": _number(rules.tick_ticks),
            "orderMinSize": rules.min_size_lots // LOTS_PER_SHARE,
            "negRisk": rules.neg_risk,
            "active": True,
            "closed": not market.accepting,
            "acceptingOrders": market.accepting,
            "enableOrderBook": True,
            "bestBid": float(bid),
            "bestAsk": float(ask),
            "feesEnabled": rules.fee_rate_ppm > 0,
        }
        if market.protocol == 3:
            live["positionIds"] = [market.token_yes, market.token_no]
        if rules.fee_rate_ppm:
            live["feeSchedule"] = {
                "exponent": rules.fee_exponent,
                "rate": rules.fee_rate_ppm / 1_000_000,
                "takerOnly": True,
                "rebateRate": market.rebate_rate,
            }
        return live

    def _gamma_event(self, event: SimEvent) -> dict[str, Any]:
        return {
            "active": True,
            "closed": False,
            "negRisk": bool(event.set_id),
            "enableNegRisk": bool(event.set_id),
            "negRiskAugmented": False,
            **event.gamma,
            "markets": [self._gamma_market(market) for market in event.markets],
        }

    def _page(self, request: web.Request, key: str, items: list[Any]) -> web.Response:
        try:
            limit = min(max(int(request.query.get("limit", "20")), 1), PAGE_MAX)
            start = int(request.query.get("after_cursor") or request.query.get("offset") or "0")
        except ValueError:
            return json_response({"type": "validation error", "error": "invalid cursor"}, 422)
        page: dict[str, Any] = {key: items[start : start + limit]}
        if start + limit < len(items):
            page["next_cursor"] = str(start + limit)
        return json_response(page)

    def _chosen(self, request: web.Request) -> list[SimEvent]:
        slugs = set(request.query.getall("slug", []))
        ids = set(request.query.getall("id", []))
        return [
            event
            for event in self._exchange.catalog.events
            if (not slugs or event.slug in slugs) and (not ids or event.id in ids)
        ]

    async def _events(self, request: web.Request) -> web.Response:
        events = [self._gamma_event(event) for event in self._chosen(request)]
        if request.path == "/events":
            return json_response(events[:PAGE_MAX])
        return self._page(request, "events", events)

    async def _event_by_slug(self, request: web.Request) -> web.Response:
        for event in self._exchange.catalog.events:
            if event.slug == request.match_info["slug"]:
                return json_response(self._gamma_event(event))
        return json_response({"type": "not found error", "error": "slug not found"}, 404)

    async def _gamma_markets(self, request: web.Request) -> web.Response:
        wanted = set(request.query.getall("condition_ids", []))
        markets = [
            self._gamma_market(market)
            for market in self._exchange.catalog.markets
            if not wanted or market.condition_id in wanted
        ]
        return self._page(request, "markets", markets)
