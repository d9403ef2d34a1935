"""Discovery as Gamma gives it: events, markets, tags, search; offset pages and keyset pages.

Served under ``/gamma`` and, but for ``/markets`` which the CLOB owns there, at the root as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from overround.sim.answers import Handler, json_response
from overround.sim.catalog import SimEvent, SimMarket
from overround.sim.exchange import Exchange
from overround.sim.markets import price_texts
from overround.sim.payload import plain_count
from overround.sim.rest import number
from overround.units import LOTS_PER_SHARE, MICRO_PER_UNIT, format_cash, parse_cash

__all__ = ["GAMMA_PREFIX", "GammaApi"]

GAMMA_PREFIX = "/gamma"

PAGE_MAX = 100
"""Events or markets on a page."""

PAGE_DEFAULT = 20
OFFSET_MAX = 2_000
T = TypeVar("T", SimEvent, SimMarket)


def _invalid(text: str) -> web.Response:
    return json_response({"type": "validation error", "error": text}, 422)


def _missing(what: str) -> web.Response:
    return json_response({"type": "not found error", "error": f"{what} not found"}, 404)


def _market_id(market: SimMarket) -> str:
    return str(market.gamma.get("id", 500_000 + market.index))


def _tags(event: SimEvent) -> list[dict[str, Any]]:
    tags: list[dict[str, Any]] = event.gamma.get("tags", [])
    return tags


class GammaApi:
    """Handlers of the discovery API."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        table: list[tuple[str, Handler]] = [
            ("/events", self._events),
            ("/events/keyset", self._events),
            ("/events/slug/{slug}", self._event),
            (r"/events/{id:\d+}", self._event),
            (r"/events/{id:\d+}/tags", self._event_tags),
            ("/markets/keyset", self._markets),
            ("/markets/slug/{slug}", self._market),
            (r"/markets/{id:\d+}", self._market),
            (r"/markets/{id:\d+}/tags", self._market_tags),
            ("/tags", self._all_tags),
            (r"/tags/{id:\d+}", self._tag),
            ("/tags/slug/{slug}", self._tag),
            ("/public-search", self._search),
        ]
        nothing = ("/series", "/sports", "/teams", "/comments", "/tags/{any}/related-tags")
        table += [(path, self._nothing) for path in nothing]
        routes = [web.get(GAMMA_PREFIX + "/markets", self._markets)]
        for prefix in (GAMMA_PREFIX, ""):
            routes += [web.get(prefix + path, handler) for path, handler in table]
        return routes

    # -- records -------------------------------------------------------------------------

    def market(self, market: SimMarket, *, parents: bool = True) -> dict[str, Any]:
        """Return a market's record; ``parents`` adds the event it belongs to."""
        rules, exchange = market.rules, self._exchange
        bid, ask = exchange.books[market.index].best(0)
        tape = exchange.tape.of(market.index)
        volume = parse_cash(f"{market.gamma.get('volumeNum', 0):.6f}") + tape.volume_micro
        live: dict[str, Any] = {
            "id": _market_id(market),
            "question": market.question,
            "conditionId": market.condition_id,
            "slug": market.slug,
            "description": "",
            "archived": False,
            **market.gamma,
            "version": "v2" if market.protocol == 3 else "v1",
            "outcomes": json.dumps(market.outcomes),
            "outcomePrices": json.dumps(price_texts(exchange, market)),
            "clobTokenIds": json.dumps([market.token_yes, market.token_no]),
            "orderPriceMinTickSize": number(rules.tick_ticks),
            "orderMinSize": rules.min_size_lots // LOTS_PER_SHARE,
            "negRisk": rules.neg_risk,
            "active": True,
            "closed": not market.accepting,
            "acceptingOrders": market.accepting,
            "enableOrderBook": True,
            "bestBid": float(bid),
            "bestAsk": float(ask),
            "spread": round(float(ask) - float(bid), 4),
            "volume": format_cash(volume),
            "volumeNum": volume / MICRO_PER_UNIT,
            "feesEnabled": rules.fee_rate_ppm > 0,
        }
        last = exchange.engine.last_trade(market.index)
        if last is not None:
            live["lastTradePrice"] = number(last.price_ticks)
        if market.protocol == 3:
            live["positionIds"] = [market.token_yes, market.token_no]
        if rules.fee_rate_ppm:
            live["feeSchedule"] = {
                "exponent": rules.fee_exponent,
                "rate": rules.fee_rate_ppm / 1_000_000,
                "takerOnly": True,
                "rebateRate": market.rebate_rate,
            }
        if parents:
            event = market.event
            live["events"] = [{"id": event.id, "slug": event.slug, "title": event.title}]
        return live

    def event(self, event: SimEvent) -> dict[str, Any]:
        """Return an event's record with all its markets."""
        return {
            "active": True,
            "archived": False,
            "negRisk": bool(event.set_id),
            "enableNegRisk": bool(event.set_id),
            "negRiskAugmented": False,
            **event.gamma,
            "closed": self._event_closed(event),
            "markets": [self.market(market, parents=False) for market in event.markets],
        }

    @staticmethod
    def _event_closed(event: SimEvent) -> bool:
        return bool(event.markets) and not any(market.accepting for market in event.markets)

    # -- pages ---------------------------------------------------------------------------

    def _page(
        self,
        request: web.Request,
        key: str,
        items: Sequence[T],
        make: Callable[[T], dict[str, Any]],
    ) -> web.Response:
        """Answer a slice: an array at an offset, or with ``keyset`` an object with a cursor."""
        query = request.query
        keyset = request.path.endswith("/keyset")
        if keyset and "offset" in query:
            return _invalid("offset is not supported, use after_cursor")
        limit = plain_count(query.get("limit", str(PAGE_DEFAULT)))
        start = plain_count(query.get("after_cursor" if keyset else "offset") or "0")
        if limit is None or start is None:
            return _invalid("invalid cursor" if keyset else "invalid offset")
        if not keyset and start > OFFSET_MAX:
            return _invalid(f"offset too large, use /{key}/keyset")
        limit = min(max(limit, 1), PAGE_MAX)
        if query.get("order"):
            rows = self._sorted(request, [make(item) for item in items])[start : start + limit]
        else:
            rows = [make(item) for item in items[start : start + limit]]
        if not keyset:
            return json_response(rows)
        page: dict[str, Any] = {key: rows}
        if start + limit < len(items):
            page["next_cursor"] = str(start + limit)
        return json_response(page)

    @staticmethod
    def _sorted(request: web.Request, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        down = request.query.get("ascending", "true") == "false"
        for name in reversed(request.query["order"].split(",")):
            rows.sort(key=lambda row: (str(type(v := row.get(name))), v or 0), reverse=down)
        return rows

    @staticmethod
    def _wanted(request: web.Request, *names: str) -> set[str]:
        """Return every value of the named parameters, repeated or comma-separated."""
        found: set[str] = set()
        for name in names:
            for text in request.query.getall(name, []):
                found.update(text.split(","))
        return found

    @staticmethod
    def _closed_wanted(request: web.Request) -> bool | None:
        """Return whether closed ones are wanted, None for both: offset pages leave them out."""
        text = request.query.get("closed")
        if text is None and request.path.endswith("/keyset"):
            return None
        return text == "true"

    async def _events(self, request: web.Request) -> web.Response:
        slugs, ids = self._wanted(request, "slug"), self._wanted(request, "id")
        tags = self._wanted(request, "tag_id", "tag_slug")
        words = request.query.get("title_search", "").lower()
        closed = self._closed_wanted(request)
        events = [
            event
            for event in self._exchange.catalog.events
            if (not slugs or event.slug in slugs)
            and (not ids or event.id in ids)
            and closed in (None, self._event_closed(event))
            and words in event.title.lower()
            and (not tags or tags & {tag[k] for tag in _tags(event) for k in ("id", "slug")})
        ]
        return self._page(request, "events", events, self.event)

    async def _markets(self, request: web.Request) -> web.Response:
        conditions = self._wanted(request, "condition_ids")
        tokens = self._wanted(request, "clob_token_ids", "position_ids")
        slugs, ids = self._wanted(request, "slug"), self._wanted(request, "id")
        tags, versions = self._wanted(request, "tag_id"), self._wanted(request, "version")
        closed = self._closed_wanted(request)
        markets = [
            market
            for market in self._exchange.catalog.markets
            if closed in (None, not market.accepting)
            and (not conditions or market.condition_id in conditions)
            and (not tokens or tokens & {market.token_yes, market.token_no})
            and (not slugs or market.slug in slugs)
            and (not ids or _market_id(market) in ids)
            and (not tags or tags & {tag["id"] for tag in _tags(market.event)})
            and (not versions or ("v2" if market.protocol == 3 else "v1") in versions)
        ]
        return self._page(request, "markets", markets, self.market)

    # -- one -----------------------------------------------------------------------------

    def _found_event(self, request: web.Request) -> SimEvent | None:
        slug, number = request.match_info.get("slug"), request.match_info.get("id")
        for event in self._exchange.catalog.events:
            if event.slug == slug or event.id == number:
                return event
        return None

    def _found_market(self, request: web.Request) -> SimMarket | None:
        slug, number = request.match_info.get("slug"), request.match_info.get("id")
        for market in self._exchange.catalog.markets:
            if market.slug == slug or _market_id(market) == number:
                return market
        return None

    async def _event(self, request: web.Request) -> web.Response:
        event = self._found_event(request)
        named = "slug" if "slug" in request.match_info else "id"
        return json_response(self.event(event)) if event else _missing(named)

    async def _market(self, request: web.Request) -> web.Response:
        market = self._found_market(request)
        if market is None:
            return _missing("slug" if "slug" in request.match_info else "id")
        record = self.market(market)
        if request.query.get("include_tag") == "true":
            record["tags"] = _tags(market.event)
        return json_response(record)

    async def _event_tags(self, request: web.Request) -> web.Response:
        event = self._found_event(request)
        return json_response(_tags(event)) if event else _missing("id")

    async def _market_tags(self, request: web.Request) -> web.Response:
        market = self._found_market(request)
        return json_response(_tags(market.event)) if market else _missing("id")

    # -- tags and search -----------------------------------------------------------------

    def _known_tags(self) -> list[dict[str, Any]]:
        tags = {tag["id"]: tag for event in self._exchange.catalog.events for tag in _tags(event)}
        return list(tags.values())

    async def _all_tags(self, request: web.Request) -> web.Response:
        limit = plain_count(request.query.get("limit", str(PAGE_MAX)))
        start = plain_count(request.query.get("offset", "0"))
        if limit is None or start is None:
            return _invalid("invalid offset")
        return json_response(self._known_tags()[start : start + min(limit, PAGE_MAX)])

    async def _tag(self, request: web.Request) -> web.Response:
        slug, tag_id = request.match_info.get("slug"), request.match_info.get("id")
        for tag in self._known_tags():
            if tag["slug"] == slug or tag["id"] == tag_id:
                return json_response(tag)
        return _missing("slug" if slug else "id")

    async def _nothing(self, _: web.Request) -> web.Response:
        return json_response([])

    async def _search(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "").lower()
        limit = plain_count(request.query.get("limit_per_type", "5"))
        page = plain_count(request.query.get("page", "1"))
        if not words or not limit or not page:
            return _invalid("q is required" if not words else "invalid page")
        found = [
            event
            for event in self._exchange.catalog.events
            if words in event.title.lower() or words in event.slug
        ]
        start = (page - 1) * limit
        more = start + limit < len(found)
        tags = [
            {"id": tag["id"], "label": tag["label"], "slug": tag["slug"], "event_count": 1}
            for tag in self._known_tags()
            if words in tag["label"].lower()
        ]
        return json_response(
            {
                "events": [self.event(event) for event in found[start : start + limit]],
                "tags": tags[:limit] if request.query.get("search_tags") == "true" else [],
                "profiles": [],
                "pagination": {"hasMore": more, "totalResults": len(found)},
            }
        )
