"""The CLOB's market listings: records, pages, price history, recent trades, rewards, builders."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from overround.sim.answers import cursor_page, error, json_response
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.sim.payload import plain_count, read_json
from overround.sim.records import TradeRecord
from overround.sim.rest import middle, number
from overround.sim.rewards import DAILY_MICRO, Rewards, reward_rules
from overround.units import (
    LOTS_PER_SHARE,
    MICRO_PER_UNIT,
    PRICE_TICKS_MAX,
    format_cash,
    format_price,
    format_size,
)

__all__ = ["PUSD", "MarketsApi", "price_texts", "token_prices"]

PUSD = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
"""The collateral token; rewards and rebates are paid in it."""

MARKETS_PAGE = 1_000
REWARDS_PAGE = 500
TRADES_PAGE = 300
HISTORIES_MAX = 20

INTERVALS_S = {"1h": 3_600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1m": 2_592_000}
"""Spans of price history by name; ``max`` and ``all`` start at the beginning."""

BUILDER_BPS = 0
"""What a builder code adds to a fee: nothing is charged for it here."""
CODE = re.compile(r"0x[0-9a-fA-F]{64}")

MARKET_TEXTS = (
    ("description", "description"),
    ("icon", "icon"),
    ("image", "image"),
    ("question_id", "questionID"),
    ("neg_risk_market_id", "negRiskMarketID"),
    ("neg_risk_request_id", "negRiskRequestID"),
)
"""Members of a market record that are copied from Gamma's; "" where Gamma has none."""


def price_texts(exchange: Exchange, market: SimMarket) -> tuple[str, str]:
    """Return the mid price of YES and of NO, what they redeem for in the end."""
    worth = market.yes_worth_ticks
    if worth is not None:
        return format_price(worth), format_price(PRICE_TICKS_MAX - worth)
    bid, ask = exchange.books[market.index].best_ticks()
    return middle(bid, ask), middle(PRICE_TICKS_MAX - ask, PRICE_TICKS_MAX - bid)


def token_prices(exchange: Exchange, market: SimMarket) -> tuple[float, float]:
    """Return the prices of ``price_texts`` as JSON numbers."""
    yes, no = price_texts(exchange, market)
    return float(yes), float(no)


class MarketsApi:
    """Handlers of the CLOB's listings, which need no login."""

    def __init__(self, exchange: Exchange, rewards: Rewards) -> None:
        self._exchange = exchange
        self._rewards = rewards

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        listings: list[tuple[str, bool, Callable[[SimMarket], dict[str, Any]]]] = [
            ("/markets", False, self.record),
            ("/simplified-markets", False, self._simple),
            ("/sampling-markets", True, self.record),
            ("/sampling-simplified-markets", True, self._simple),
        ]
        return [
            *(web.get(path, self._listing(sampled, make)) for path, sampled, make in listings),
            web.get("/markets/{condition:0x[0-9a-fA-F]+}", self._market),
            web.get("/markets/live-activity/{condition}", self._activity),
            web.get("/live-activity/events/{condition}", self._activity),
            web.get("/prices-history", self._history),
            web.post("/batch-prices-history", self._histories),
            web.get("/rewards/markets/current", self._rewards_now),
            web.get("/rewards/markets/multi", self._rewards_multi),
            web.get("/rewards/markets/{condition}", self._rewards_of),
            web.get("/fees/builder-fees/{code}", self._builder_fees),
            web.get("/builder/trades", self._builder_trades),
            web.get("/rebates/current", self._rebates),
        ]

    # -- market records ------------------------------------------------------------------

    def _tokens(self, market: SimMarket) -> list[dict[str, Any]]:
        prices = token_prices(self._exchange, market)
        return [
            {
                "token_id": market.token(outcome),
                "outcome": market.outcomes[outcome],
                "price": prices[outcome],
                "winner": prices[outcome] == 1 and market.yes_worth_ticks is not None,
            }
            for outcome in (0, 1)
        ]

    @staticmethod
    def _reward_record(market: SimMarket) -> dict[str, Any]:
        rate = {"asset_address": PUSD, "rewards_daily_rate": DAILY_MICRO // MICRO_PER_UNIT}
        return {
            "rates": [rate] if reward_rules(market) else None,
            "min_size": market.gamma.get("rewardsMinSize", 0),
            "max_spread": market.gamma.get("rewardsMaxSpread", 0),
        }

    def _simple(self, market: SimMarket) -> dict[str, Any]:
        return {
            "condition_id": market.condition_id,
            "rewards": self._reward_record(market),
            "tokens": self._tokens(market),
            "active": True,
            "closed": not market.accepting,
            "archived": False,
            "accepting_orders": market.accepting,
        }

    def record(self, market: SimMarket) -> dict[str, Any]:
        """Return a market as ``/markets`` lists it."""
        gamma, rules = market.gamma, market.rules
        return {
            "enable_order_book": True,
            "active": True,
            "closed": not market.accepting,
            "archived": False,
            "accepting_orders": market.accepting,
            "accepting_order_timestamp": gamma.get("acceptingOrdersTimestamp"),
            "minimum_order_size": rules.min_size_lots // LOTS_PER_SHARE,
            "minimum_tick_size": number(rules.tick_ticks),
            "condition_id": market.condition_id,
            "question": market.question,
            "market_slug": market.slug,
            **{name: gamma.get(source, "") for name, source in MARKET_TEXTS},
            "end_date_iso": gamma.get("endDate"),
            "game_start_time": None,
            "seconds_delay": market.seconds_delay,
            "fpmm": "",
            "maker_base_fee": 0,
            "taker_base_fee": 0,
            "notifications_enabled": True,
            "neg_risk": rules.neg_risk,
            "is_50_50_outcome": market.yes_worth_ticks == PRICE_TICKS_MAX // 2,
            "rewards": self._reward_record(market),
            "tokens": self._tokens(market),
            "tags": [tag["label"] for tag in market.event.gamma.get("tags", [])],
        }

    def _listing(self, sampled: bool, make: Callable[[SimMarket], dict[str, Any]]) -> Any:
        async def handler(request: web.Request) -> web.Response:
            markets = self._rewards.markets() if sampled else self._exchange.catalog.markets
            return cursor_page(request, markets, MARKETS_PAGE, make)

        return handler

    def _named(self, request: web.Request) -> SimMarket | None:
        return self._exchange.catalog.by_condition.get(request.match_info["condition"])

    async def _market(self, request: web.Request) -> web.Response:
        market = self._named(request)
        return json_response(self.record(market)) if market else error(404, "market not found")

    # -- what has traded -----------------------------------------------------------------

    async def _activity(self, request: web.Request) -> web.Response:
        market = self._named(request)
        if market is None:
            return error(404, "market not found")
        rows = [
            {
                "event_type": "trade",
                "market": {
                    "condition_id": market.condition_id,
                    "asset_id": market.token(done.outcome),
                    "question": market.question,
                    "icon": "",
                    "slug": market.slug,
                },
                "user": {
                    "address": done.address,
                    "username": "",
                    "profile_picture": "",
                    "optimized_profile_picture": "",
                    "pseudonym": "",
                },
                "side": done.side.name,
                "size": format_size(done.size_lots),
                "fee_rate_bps": "0",
                "price": format_price(done.price_ticks),
                "outcome": market.outcomes[done.outcome],
                "outcome_index": done.outcome,
                "transaction_hash": done.transaction,
                "timestamp": str(done.epoch_s),
            }
            for done in reversed(self._exchange.tape.of(market.index).prints)
        ]
        return json_response(rows[:100])

    def _span(self, query: Any) -> tuple[int, int, int] | None:
        """Return (start, end, step) in seconds, None if the query names no readable span."""
        now_s = self._exchange.now_s
        texts = [str(query.get(name, "")) for name in ("startTs", "endTs", "fidelity")]
        start, end, minutes = (plain_count(text) for text in texts)
        interval = query.get("interval")
        read = zip(texts, (start, end, minutes), strict=True)
        if any(text and value is None for text, value in read):
            return None
        if interval in ("max", "all"):
            start, end = 0, now_s
        elif interval in INTERVALS_S:
            start, end = now_s - INTERVALS_S[interval], now_s
        elif interval or start is None:
            return None
        return start, now_s if end is None else end, max(minutes or 1, 1) * 60

    def _points(self, token: str, span: tuple[int, int, int]) -> list[dict[str, Any]]:
        found = self._exchange.catalog.by_token.get(token)
        if found is None:
            return []
        history = self._exchange.tape.history(found[0].index, found[1], *span)
        return [{"t": epoch_s, "p": number(ticks)} for epoch_s, ticks in history]

    async def _history(self, request: web.Request) -> web.Response:
        token, span = request.query.get("market", ""), self._span(request.query)
        if not token or span is None:
            return error(400, "Invalid payload")
        return json_response({"history": self._points(token, span)})

    async def _histories(self, request: web.Request) -> web.Response:
        try:
            body = read_json(await request.read())
        except ValueError:
            body = None
        tokens = body.get("markets") if isinstance(body, dict) else None
        if not isinstance(tokens, list) or not 0 < len(tokens) <= HISTORIES_MAX:
            return error(400, "Invalid payload")
        named = {"startTs": "start_ts", "endTs": "end_ts"}
        query = {name: body.get(named.get(name, name), "") for name in ("startTs", "endTs")}
        query |= {name: body.get(name) or "" for name in ("interval", "fidelity")}
        span = self._span(query)
        if span is None:
            return error(400, "Invalid payload")
        return json_response({"history": {str(t): self._points(str(t), span) for t in tokens}})

    # -- rewards -------------------------------------------------------------------------

    def reward_config(self) -> dict[str, Any]:
        """Return the one programme every rewarded market has: open-ended, since this day."""
        day = datetime.fromtimestamp(self._exchange.now_s, UTC).date().isoformat()
        rate = DAILY_MICRO // MICRO_PER_UNIT
        return {
            "id": 1,
            "asset_address": PUSD,
            "start_date": day,
            "end_date": "2500-12-31",
            "rate_per_day": rate,
            "total_rewards": rate,
        }

    def reward_row(self, market: SimMarket) -> dict[str, Any]:
        """Return what every rewards listing says of a market."""
        prices = token_prices(self._exchange, market)
        return {
            "condition_id": market.condition_id,
            "question": market.question,
            "market_slug": market.slug,
            "event_slug": market.event.slug,
            "image": "",
            "rewards_max_spread": market.gamma.get("rewardsMaxSpread", 0),
            "rewards_min_size": market.gamma.get("rewardsMinSize", 0),
            "market_competitiveness": 0.5,
            "tokens": [
                {
                    "token_id": market.token(outcome),
                    "outcome": market.outcomes[outcome],
                    "price": prices[outcome],
                }
                for outcome in (0, 1)
            ],
            "rewards_config": [self.reward_config()],
        }

    def _current(self, market: SimMarket) -> dict[str, Any]:
        rate = DAILY_MICRO // MICRO_PER_UNIT
        row = self.reward_row(market)
        names = ("condition_id", "rewards_max_spread", "rewards_min_size", "rewards_config")
        daily = {"native_daily_rate": rate, "sponsored_daily_rate": 0, "total_daily_rate": rate}
        return {**{name: row[name] for name in names}, "sponsors_count": 0, **daily}

    def _multi(self, market: SimMarket) -> dict[str, Any]:
        bid, ask = self._exchange.books[market.index].best_ticks()
        return {
            **self.reward_row(market),
            "market_id": str(market.gamma.get("id", 500_000 + market.index)),
            "spread": number(ask - bid),
            "group_item_title": market.gamma.get("groupItemTitle", ""),
            "volume_24hr": self._exchange.tape.of(market.index).volume_micro / MICRO_PER_UNIT,
            "event_id": market.event.id,
            "created_at": market.gamma.get("createdAt", "2026-01-01T00:00:00Z"),
            "one_day_price_change": market.gamma.get("oneDayPriceChange", 0),
            "end_date": market.gamma.get("endDate", ""),
        }

    async def _rewards_now(self, request: web.Request) -> web.Response:
        return cursor_page(request, self._rewards.markets(), REWARDS_PAGE, self._current)

    async def _rewards_multi(self, request: web.Request) -> web.Response:
        size = plain_count(request.query.get("page_size", "")) or 100
        words = request.query.get("q", "").lower()
        markets = [m for m in self._rewards.markets() if words in m.question.lower()]
        return cursor_page(request, markets, min(size, REWARDS_PAGE), self._multi)

    async def _rewards_of(self, request: web.Request) -> web.Response:
        market = self._named(request)
        rewarded = [market] if market and reward_rules(market) else []
        return cursor_page(request, rewarded, REWARDS_PAGE, self.reward_row)

    async def _rebates(self, request: web.Request) -> web.Response:
        exchange, address = self._exchange, request.query.get("maker_address", "")
        try:
            day = date.fromisoformat(request.query.get("date", ""))
        except ValueError:
            return error(400, "Invalid date")
        wallet = exchange.members.wallet(address)
        number_of_day = day.toordinal() - date(1970, 1, 1).toordinal()
        return json_response(
            [
                {
                    "date": day.isoformat(),
                    "condition_id": exchange.catalog.markets[share.market].condition_id,
                    "asset_address": PUSD,
                    "maker_address": wallet.address,
                    "rebated_fees_usdc": format_cash(share.cash_micro),
                }
                for share in exchange.engine.rebates.shares(number_of_day)
                if wallet is not None and share.account == wallet.account
            ]
        )

    # -- builders ------------------------------------------------------------------------

    async def _builder_fees(self, request: web.Request) -> web.Response:
        if not CODE.fullmatch(request.match_info["code"]):
            return error(400, "Invalid builder code")
        return json_response(
            {
                "builder_maker_fee_rate_bps": BUILDER_BPS,
                "builder_taker_fee_rate_bps": BUILDER_BPS,
            }
        )

    @staticmethod
    def _builder_row(code: str, trade: TradeRecord) -> dict[str, Any]:
        matched, market = trade.matched, trade.market
        fee = format_cash(matched.fee_micro)
        made = datetime.fromtimestamp(trade.match_ns // 1_000_000_000, UTC).isoformat()
        return {
            "id": trade.id,
            "tradeType": "TAKER",
            "takerOrderHash": matched.taker_order.id,
            "builder": code,
            "market": market.condition_id,
            "assetId": market.token(matched.outcome),
            "side": matched.side.name,
            "size": format_size(matched.size_lots),
            "sizeUsdc": format_cash(matched.cash_micro),
            "price": format_price(matched.price_ticks),
            "status": f"TRADE_STATUS_{trade.status}",
            "outcome": market.outcomes[matched.outcome],
            "outcomeIndex": int(matched.outcome),
            "owner": trade.taker.api_key,
            "maker": trade.taker.address,
            "transactionHash": trade.transaction,
            "matchTime": str(trade.match_ns // 1_000_000_000),
            "bucketIndex": trade.bucket,
            "fee": fee,
            "feeUsdc": fee,
            "err_msg": None,
            "createdAt": made,
            "updatedAt": made,
        }

    async def _builder_trades(self, request: web.Request) -> web.Response:
        query = request.query
        code = query.get("builder_code", "").lower()
        if not CODE.fullmatch(code):
            return error(400, "Invalid builder code")
        wanted = query.get("id", ""), query.get("market", ""), query.get("asset_id", "")
        trades = [
            trade
            for trade in self._exchange.tape.of_builder(code)
            if wanted[0] in ("", trade.id)
            and wanted[1] in ("", trade.market.condition_id)
            and wanted[2] in ("", trade.market.token(trade.matched.outcome))
        ]
        rows = list(reversed(trades))
        return cursor_page(request, rows, TRADES_PAGE, lambda t: self._builder_row(code, t))
