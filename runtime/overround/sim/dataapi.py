"""The Data API, v1 and v2: positions, trades, activity, values, holders, open interest.

Served under ``/data-api``. Rows are made once with v2's names; v1 has the same in camel case.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from overround.sim.answers import Handler, json_response, page_cursor, page_start
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.sim.markets import token_prices
from overround.sim.payload import plain_count
from overround.sim.portfolio import Fill, Stake, account_of, fills_of, stakes_of
from overround.sim.rest import number
from overround.units import LOTS_PER_SHARE, MICRO_PER_UNIT

__all__ = ["DATA_PREFIX", "DataApi"]

DATA_PREFIX = "/data-api"
PAGE_MAX = 500
PAGE_MAX_V2 = 1_000
PAGE_DEFAULT = 100
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
SPELLED = {"token_id": "asset", "opposite_token_id": "oppositeAsset"}
SPANS_S = {"1h": 3_600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1m": 2_592_000}

Row = dict[str, Any]


def _camel(row: Row) -> Row:
    def name(text: str) -> str:
        head, *rest = text.split("_")
        return SPELLED.get(text) or head + "".join(part.capitalize() for part in rest)

    return {name(key): value for key, value in row.items()}


def _cash(micro: int) -> float:
    return micro / MICRO_PER_UNIT


def _listed(texts: list[str]) -> set[str]:
    return {part for text in texts for part in text.split(",") if part}


class _Bad(Exception):
    """A parameter is missing or unreadable; the text says which."""


class DataApi:
    """Handlers of the Data API."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        v1: list[tuple[str, Callable[[web.Request], Any]]] = [
            ("/positions", self._positions_v1),
            ("/closed-positions", self._closed_v1),
            ("/trades", lambda r: self._cut(r, [_camel(row) for row in self._trade_rows(r)])),
            ("/activity", lambda r: self._cut(r, [_camel(row) for row in self._activity(r)])),
            ("/value", lambda r: [{"user": self._user(r), "value": self._value(r)}]),
            ("/traded", lambda r: {"user": self._user(r), "traded": self._traded(r)}),
            ("/holders", lambda r: [_camel_holders(row) for row in self._holders(r)]),
            ("/oi", lambda r: [{"market": cid, "value": v} for cid, v in self._interest(r)]),
            ("/live-volume", lambda r: [self._volume(r, "total", "markets", "market", "value")]),
        ]
        v2: list[tuple[str, Callable[[web.Request], Any]]] = [
            ("/v2/value", lambda r: {"proxy_wallet": self._user(r), "value": self._value(r)}),
            ("/v2/user-volume", self._user_volume),
            ("/v2/tokens", self._tokens),
            ("/v2/oi", lambda r: [{"condition_id": c, "value": v} for c, v in self._interest(r)]),
            (
                "/v2/live-volume",
                lambda r: self._volume(
                    r, "taker_volume_total", "conditions", "condition_id", "taker_volume"
                ),
            ),
        ]
        pages: list[tuple[str, Callable[[web.Request], list[Row]]]] = [
            ("/v2/positions", self._positions),
            ("/v2/trades", self._trade_rows),
            ("/v2/activity", self._activity),
            ("/v2/holders", self._holders),
            ("/v2/prices-history", self._history),
        ]
        found = [(path, self._answer(make)) for path, make in v1]
        found += [(path, self._answer(self._enveloped(make))) for path, make in v2]
        found += [(path, self._answer(self._paged(make))) for path, make in pages]
        return [web.get(DATA_PREFIX + path, handler) for path, handler in found]

    # -- plumbing ------------------------------------------------------------------------

    @staticmethod
    def _answer(make: Callable[[web.Request], Any]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            try:
                return json_response(make(request))
            except _Bad as bad:
                if "/v2/" not in request.path:
                    return json_response({"error": str(bad)}, 400)
                return json_response(
                    {
                        "error": str(bad),
                        "code": "invalid_parameter",
                        "retryable": False,
                        "trace_id": str(uuid.uuid5(uuid.NAMESPACE_URL, request.path_qs)),
                    },
                    400,
                )

        return handler

    @staticmethod
    def _enveloped(make: Callable[[web.Request], Any]) -> Callable[[web.Request], Row]:
        return lambda request: {"data": make(request)}

    def _paged(self, make: Callable[[web.Request], list[Row]]) -> Callable[[web.Request], Row]:
        return lambda request: self._page(request, make(request))

    @staticmethod
    def _count(request: web.Request, name: str, default: int, most: int) -> int:
        value = plain_count(request.query.get(name, str(default)))
        if value is None:
            raise _Bad(f"invalid {name}")
        return min(value, most)

    def _cut(self, request: web.Request, rows: list[Row]) -> list[Row]:
        limit = self._count(request, "limit", PAGE_DEFAULT, PAGE_MAX)
        start = self._count(request, "offset", 0, 10_000)
        return rows[start : start + limit]

    def _page(self, request: web.Request, rows: list[Row]) -> Row:
        limit = max(self._count(request, "limit", PAGE_DEFAULT, PAGE_MAX_V2), 1)
        try:
            start = page_start(request.query.get("cursor", ""))
        except ValueError:
            start = None
        if start is None:
            raise _Bad("invalid cursor")
        more = start + limit < len(rows)
        after = page_cursor(start + limit) if more else None
        paging = {"limit": limit, "offset": start, "has_more": more, "next_cursor": after}
        return {"data": rows[start : start + limit], "pagination": paging}

    def _user(self, request: web.Request) -> str:
        user = request.query.get("user", "")
        if not ADDRESS.fullmatch(user):
            raise _Bad("required query param 'user' not provided" if not user else "invalid user")
        return user.lower()

    def _conditions(self, request: web.Request) -> set[str]:
        query = request.query
        names = ("market", "condition_id", "condition")
        return {text.lower() for n in names for text in _listed(query.getall(n, []))}

    def _markets(self, request: web.Request) -> list[SimMarket]:
        """Return the markets asked for by condition or event; all of them if none is named."""
        conditions = self._conditions(request)
        events = _listed(request.query.getall("event_id", []) + request.query.getall("eventId", []))
        return [
            market
            for market in self._exchange.catalog.markets
            if (not conditions or market.condition_id.lower() in conditions)
            and (not events or market.event.id in events)
        ]

    # -- positions -----------------------------------------------------------------------

    def _stakes(self, request: web.Request) -> list[Stake]:
        account = account_of(self._exchange, self._user(request))
        wanted = {market.index for market in self._markets(request)}
        stakes = stakes_of(self._exchange, account) if account is not None else []
        return [stake for stake in stakes if stake.market.index in wanted]

    def _position(self, stake: Stake, user: str, mergeable: bool) -> Row:
        market, outcome = stake.market, stake.outcome
        price = token_prices(self._exchange, market)[outcome]
        value = stake.lots * round(price * 1_000_000) // LOTS_PER_SHARE
        open_pnl = value - stake.cost_micro
        paid = stake.cost_micro or stake.bought_micro
        return {
            "proxy_wallet": user,
            "token_id": market.token(outcome),
            "condition_id": market.condition_id,
            "status": "OPEN" if stake.lots else "CLOSED",
            "current_size": stake.lots / LOTS_PER_SHARE,
            "total_size": stake.bought_lots / LOTS_PER_SHARE,
            "avg_price": number(stake.average_ticks),
            "entry_cost_usdc": _cash(stake.cost_micro),
            "entry_fees_usdc": _cash(stake.fees_micro),
            "total_cost_usdc": _cash(stake.cost_micro + stake.fees_micro),
            "current_price": price,
            "current_value": _cash(value),
            "unrealized_pnl": _cash(open_pnl),
            "realized_pnl": _cash(stake.realized_micro),
            "total_pnl": _cash(open_pnl + stake.realized_micro),
            "percent_pnl": round(100 * open_pnl / paid, 2) if paid else 0,
            "percent_realized_pnl": round(100 * stake.realized_micro / paid, 2) if paid else 0,
            "redeemable": market.yes_worth_ticks is not None,
            "mergeable": mergeable,
            "negative_risk": market.rules.neg_risk,
            "archived": False,
            "verified": False,
            "title": market.question,
            "slug": market.slug,
            "icon": "",
            "event_id": market.event.id,
            "event_slug": market.event.slug,
            "outcome": market.outcomes[outcome],
            "outcome_index": outcome,
            "opposite_outcome": market.outcomes[1 - outcome],
            "opposite_token_id": market.token(1 - outcome),
            "end_date": market.gamma.get("endDateIso", ""),
            "first_entry_at": stake.first_s or None,
            "last_event_at": stake.last_s or None,
        }

    def _all_positions(self, request: web.Request) -> list[Row]:
        user, stakes = self._user(request), self._stakes(request)
        held = {(stake.market.index, stake.outcome) for stake in stakes if stake.lots}
        return [
            self._position(stake, user, {(stake.market.index, o) for o in (0, 1)} <= held)
            for stake in stakes
        ]

    def _positions(self, request: web.Request) -> list[Row]:
        status = request.query.get("status", "OPEN").upper()
        rows = self._all_positions(request)
        if status in ("REDEEMABLE", "MERGEABLE"):
            return [row for row in rows if row[status.lower()] and row["current_size"]]
        return [row for row in rows if row["status"] == status]

    def _old_position(self, row: Row) -> Row:
        names = (
            "proxy_wallet", "token_id", "condition_id", "avg_price", "current_value",
            "realized_pnl", "percent_realized_pnl", "percent_pnl", "redeemable", "mergeable",
            "title", "slug", "icon", "event_id", "event_slug", "outcome", "outcome_index",
            "opposite_outcome", "opposite_token_id", "end_date",
        )  # fmt: skip
        return {
            **_camel({name: row[name] for name in names}),
            "size": row["current_size"],
            "initialValue": row["entry_cost_usdc"],
            "cashPnl": row["unrealized_pnl"],
            "totalBought": row["total_size"],
            "curPrice": row["current_price"],
            "negativeRisk": row["negative_risk"],
        }

    def _positions_v1(self, request: web.Request) -> list[Row]:
        try:
            least = float(request.query.get("sizeThreshold", "1"))
        except ValueError:
            raise _Bad("invalid sizeThreshold") from None
        rows = [row for row in self._all_positions(request) if row["current_size"]]
        rows = [row for row in rows if row["current_size"] >= least]
        for flag in ("redeemable", "mergeable"):
            if request.query.get(flag) == "true":
                rows = [row for row in rows if row[flag]]
        return self._cut(request, [self._old_position(row) for row in rows])

    def _closed_v1(self, request: web.Request) -> list[Row]:
        rows = [row for row in self._all_positions(request) if not row["current_size"]]
        return self._cut(request, [self._old_position(row) for row in rows])

    def _value(self, request: web.Request) -> float:
        value = sum(round(row["current_value"] * 1e6) for row in self._all_positions(request))
        return _cash(value)

    def _traded(self, request: web.Request) -> int:
        return len({stake.market.index for stake in self._stakes(request)})

    # -- trades --------------------------------------------------------------------------

    def _fills(self, request: web.Request) -> list[Fill]:
        """Return the fills asked for, newest first: a wallet's, or every print still known."""
        markets = self._markets(request)
        if request.query.get("user"):
            account = account_of(self._exchange, self._user(request))
            wanted = {market.index for market in markets}
            mine = fills_of(self._exchange, account) if account is not None else []
            return [fill for fill in reversed(mine) if fill.market.index in wanted]
        tape = self._exchange.tape
        fills = [
            Fill(
                done.epoch_s, market, done.outcome, done.side, done.price_ticks,
                done.size_lots, done.cash_micro, 0, done.transaction, done.address,
            )
            for market in markets
            for done in tape.of(market.index).prints
        ]  # fmt: skip
        return sorted(fills, key=lambda fill: -fill.epoch_s)

    def _trade_rows(self, request: web.Request) -> list[Row]:
        start = self._count(request, "start", 0, 2**53)
        end = self._count(request, "end", 2**53, 2**53)
        side = request.query.get("side", "").upper()
        return [
            {
                "proxy_wallet": fill.address.lower(),
                "side": fill.side.name,
                "token_id": fill.market.token(fill.outcome),
                "condition_id": fill.market.condition_id,
                "size": fill.size_lots / LOTS_PER_SHARE,
                "price": number(fill.price_ticks),
                "timestamp": fill.epoch_s,
                "title": fill.market.question,
                "slug": fill.market.slug,
                "icon": "",
                "event_slug": fill.market.event.slug,
                "outcome": fill.market.outcomes[fill.outcome],
                "outcome_index": fill.outcome,
                "name": "",
                "pseudonym": "",
                "bio": "",
                "profile_image": "",
                "profile_image_optimized": "",
                "transaction_hash": fill.transaction,
                "usdc_size": _cash(fill.cash_micro),
            }
            for fill in self._fills(request)
            if start <= fill.epoch_s <= end and side in ("", fill.side.name)
        ]

    def _activity(self, request: web.Request) -> list[Row]:
        self._user(request)
        kinds = _listed(request.query.getall("type", []))
        if kinds and "TRADE" not in kinds:
            return []
        rows = [{**row, "type": "TRADE", "is_combo": False} for row in self._trade_rows(request)]
        down = request.query.get("sort_direction", request.query.get("sortDirection", "DESC"))
        return rows if down == "DESC" else rows[::-1]

    def _user_volume(self, request: web.Request) -> Row:
        self._user(request)
        rows = self._trade_rows(request)
        return {
            "volume": sum(row["size"] for row in rows),
            "volume_usdc": round(sum(row["usdc_size"] for row in rows), 6),
            "trade_count": len(rows),
        }

    # -- markets -------------------------------------------------------------------------

    def _holders(self, request: web.Request) -> list[Row]:
        if not self._conditions(request):
            raise _Bad("condition_id is required")
        rows = []
        for market in self._markets(request):
            for outcome in (0, 1):
                holders = [
                    self._holder(market, outcome, member.address, lots)
                    for member in self._exchange.members.by_account.values()
                    if (lots := self._lots(member.account, market.index, outcome))
                ]
                holders.sort(key=lambda row: -row["amount"])
                rows.append({"token_id": market.token(outcome), "holders": holders})
        return rows

    def _lots(self, account: int, market: int, outcome: int) -> int:
        balance = self._exchange.accounts.holding(account).tokens.get((market, outcome))
        return balance.lots if balance else 0

    @staticmethod
    def _holder(market: SimMarket, outcome: int, address: str, lots: int) -> Row:
        return {
            "proxy_wallet": address.lower(),
            "token_id": market.token(outcome),
            "amount": lots / LOTS_PER_SHARE,
            "outcome_index": outcome,
            "display_username_public": False,
            "verified": False,
            "name": "",
            "pseudonym": "",
            "bio": "",
            "profile_image": "",
            "profile_image_optimized": "",
        }

    def _interest(self, request: web.Request) -> list[tuple[str, float]]:
        held = self._exchange.accounts.collateral_micro
        return [
            (market.condition_id, _cash(held.get(market.index, 0)))
            for market in self._markets(request)
        ]

    def _volume(self, request: web.Request, total: str, rows: str, name: str, value: str) -> Row:
        tape = self._exchange.tape
        volumes = [(m, tape.of(m.index).volume_micro) for m in self._markets(request)]
        return {
            total: _cash(sum(micro for _, micro in volumes)),
            rows: [{name: m.condition_id, value: _cash(micro)} for m, micro in volumes],
        }

    def _history(self, request: web.Request) -> list[Row]:
        query, now_s = request.query, self._exchange.now_s
        found = self._exchange.catalog.by_token.get(query.get("token_id", ""))
        if found is None:
            raise _Bad("token_id is required" if "token_id" not in query else "unknown token_id")
        span = SPANS_S.get(query.get("interval", ""))
        start = now_s - span if span else self._count(request, "start", 0, now_s)
        end = self._count(request, "end", now_s, now_s)
        step = max(self._count(request, "bucket_seconds", 60, 86_400), 1)
        points = self._exchange.tape.history(found[0].index, found[1], start, end, step)
        return [
            {"timestamp": at_s, "price": number(ticks), "resolution_seconds": step}
            for at_s, ticks in points
        ]

    def _tokens(self, request: web.Request) -> list[Row]:
        tokens, conditions = (
            _listed(request.query.getall("token_id", [])),
            self._conditions(request),
        )
        if not tokens and not conditions:
            raise _Bad("token_id or condition is required")
        return [
            self._token_row(market, outcome)
            for market in self._markets(request)
            for outcome in (0, 1)
            if not tokens or market.token(outcome) in tokens
        ]

    @staticmethod
    def _token_row(market: SimMarket, outcome: int) -> Row:
        protocol3, worth = market.protocol == 3, market.yes_worth_ticks
        return {
            "token_id": market.token(outcome),
            "condition_id": market.condition_id,
            "structural_condition_id": None,
            "module": "binary" if protocol3 else "v1_ctf",
            "outcome_index": outcome,
            "clob_index": outcome,
            "outcome": market.outcomes[outcome],
            "opposite_token_id": market.token(1 - outcome),
            "resolved": worth is not None,
            "final_price": None if worth is None else number(10_000 - worth if outcome else worth),
            "title": market.question,
            "market_slug": market.slug,
            "closed": not market.accepting,
            "neg_risk": market.rules.neg_risk,
            "neg_risk_market_id": market.event.set_id or None,
            "question_index": None,
            "event_id": market.event.id,
            "event_slug": market.event.slug,
        }


def _camel_holders(row: Row) -> Row:
    return {"token": row["token_id"], "holders": [_camel(holder) for holder in row["holders"]]}
