"""The endpoints behind a login: API keys, orders, cancels, listings, balances, heartbeat."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from overround.clock import NS_PER_S, monotonic_ns
from overround.match.types import BookSide, Order, OrderStatus, Side
from overround.sim.answers import cursor_page, error, json_response
from overround.sim.delays import DELAYED, Delays, delayed_answer
from overround.sim.exchange import Exchange
from overround.sim.intake import Intake, Refusal, rejection_text
from overround.sim.members import Member
from overround.sim.ordersv1 import domain_v1
from overround.sim.payload import plain_count, read_json
from overround.sim.records import OrderRecord, TradeRecord
from overround.units import format_cash, format_size
from overround.venues.polymarket.auth import Credentials, verify_l1, verify_l2
from overround.venues.polymarket.orders import exchange_domain

__all__ = ["TradingApi"]

ORDERS_MAX = 15
CANCELS_MAX = 1_000
PAGE_MAX = 100

REFUSED_LEG: dict[str, Any] = {
    "success": True,
    "errorMsg": "",
    "orderID": "",
    "status": "",
    "makingAmount": "",
    "takingAmount": "",
    "tradeIDs": [],
    "transactionsHashes": [],
}
"""A refused order of a batch: every member is there, or the newest client refuses the batch."""

SPENDERS = (
    exchange_domain(neg_risk=False).contract,
    exchange_domain(neg_risk=True).contract,
    exchange_domain(neg_risk=False, protocol=3).contract,
)
SPENDERS_V1 = tuple(domain_v1(neg_risk=neg_risk).contract for neg_risk in (False, True))

Login = tuple[Member, Credentials]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LoggedIn = Callable[[web.Request, Login], Awaitable[web.StreamResponse]]


class TradingApi:
    """Handlers of everything that needs L1 or L2 authentication."""

    def __init__(
        self, exchange: Exchange, intake: Intake, delays: Delays, *, version: int = 2
    ) -> None:
        self._exchange = exchange
        self._intake = intake
        self._delays = delays
        self._spenders = SPENDERS_V1 if version == 1 else SPENDERS

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        l2 = self.logged_in
        return [
            web.post("/auth/api-key", self._create_key),
            web.get("/auth/derive-api-key", self._derive_key),
            web.get("/auth/api-keys", l2(self._list_keys)),
            web.delete("/auth/api-key", l2(self._delete_key)),
            web.get("/auth/ban-status/closed-only", l2(self._closed_only)),
            web.post("/order", l2(self._post_order)),
            web.post("/orders", l2(self._post_orders)),
            web.delete("/order", l2(self._cancel_order)),
            web.delete("/orders", l2(self._cancel_orders)),
            web.delete("/cancel-all", l2(self._cancel_all)),
            web.delete("/cancel-market-orders", l2(self._cancel_market)),
            web.get("/data/order/{id}", l2(self._get_order)),
            web.get("/order/{id}", l2(self._get_order)),
            web.get("/data/orders", l2(self._get_orders)),
            web.get("/data/trades", l2(self._get_trades)),
            web.get("/balance-allowance", l2(self._balance)),
            web.get("/balance-allowance/update", l2(self._balance)),
            web.post("/v1/heartbeats", l2(self._heartbeat)),
        ]

    # -- login ---------------------------------------------------------------------------

    def logged_in(self, handler: LoggedIn) -> Handler:
        """Return the handler behind a check of the L2 headers; refusals become answers."""

        async def checked(request: web.Request) -> web.StreamResponse:
            found = self._exchange.members.find(request.headers.get("POLY_API_KEY", ""))
            body = await request.read()
            if found is None or not verify_l2(
                request.headers, found[1], found[0].address, request.method, request.path, body
            ):
                return error(401, "Unauthorized/Invalid api key")
            try:
                return await handler(request, found)
            except Refusal as refusal:
                return error(refusal.status, refusal.text)

        return checked

    def _wallet(self, request: web.Request) -> tuple[str, int] | None:
        address = verify_l1(request.headers)
        nonce = plain_count(request.headers.get("POLY_NONCE", "0"))
        return (address, nonce) if address and nonce is not None else None

    @staticmethod
    def _key_answer(credentials: Credentials) -> web.Response:
        return json_response(
            {
                "apiKey": credentials.api_key,
                "secret": credentials.secret,
                "passphrase": credentials.passphrase,
            }
        )

    async def _create_key(self, request: web.Request) -> web.Response:
        wallet = self._wallet(request)
        if wallet is None:
            return error(401, "Invalid L1 Request headers")
        credentials = self._exchange.members.create_key(*wallet)
        if credentials is None:
            return error(400, "Could not create api key")
        return self._key_answer(credentials)

    async def _derive_key(self, request: web.Request) -> web.Response:
        wallet = self._wallet(request)
        if wallet is None:
            return error(401, "Invalid L1 Request headers")
        credentials = self._exchange.members.derive_key(*wallet)
        if credentials is None:
            return error(400, "Could not derive api key!")
        return self._key_answer(credentials)

    async def _list_keys(self, _: web.Request, login: Login) -> web.Response:
        return json_response({"apiKeys": [key.api_key for key in login[0].keys.values()]})

    async def _delete_key(self, _: web.Request, login: Login) -> web.Response:
        self._exchange.members.delete_key(login[1].api_key)
        return json_response("OK")

    async def _closed_only(self, _: web.Request, login: Login) -> web.Response:
        return json_response({"closed_only": False})

    # -- orders --------------------------------------------------------------------------

    @staticmethod
    async def _body(request: web.Request) -> Any:
        try:
            return read_json(await request.read() or b"null")
        except ValueError:
            raise Refusal("Invalid payload") from None

    def _is_marketable(self, order: Order) -> bool:
        top = self._exchange.engine.top(order.market)
        if order.book_side == BookSide.BID:
            return order.book_ticks >= top.ask_ticks
        return order.book_ticks <= top.bid_ticks

    def _accept(self, body: Any, login: Login) -> OrderRecord:
        record = self._intake.accept(body, *login, self._exchange.now_ms)
        if self._exchange.history.knows(record.order.id):
            raise Refusal(
                f"order {record.order.id} is invalid. Duplicated.", order_id=record.order.id
            )
        return record

    def _refused(self, refusal: Refusal, login: Login) -> Refusal:
        self._exchange.log.write(
            "rejected",
            order_id=refusal.order_id or None,
            account=login[0].address,
            error=refusal.text,
        )
        return refusal

    def _place(self, record: OrderRecord) -> dict[str, Any]:
        order = record.order
        if record.market.seconds_delay and not order.post_only and self._is_marketable(order):
            if self._exchange.history.knows(order.id):
                raise Refusal(f"order {order.id} is invalid. Duplicated.", order_id=order.id)
            self._delays.hold(record)
            return delayed_answer(record)
        rejected = self._exchange.place(record)
        if rejected is not None:
            raise Refusal(rejection_text(rejected, record.market), order_id=record.order.id)
        return self._answer(record)

    def _answer(self, record: OrderRecord) -> dict[str, Any]:
        order = record.order
        trades = [self._exchange.trades[trade] for trade in record.trades]
        cash = format_cash(sum(trade.matched.cash_micro for trade in trades))
        shares = format_size(order.filled_lots)
        if not trades:
            cash = shares = ""
        buy = order.side == Side.BUY
        return {
            "success": True,
            "errorMsg": "",
            "orderID": order.id,
            "status": "matched" if trades else "live",
            "makingAmount": cash if buy else shares,
            "takingAmount": shares if buy else cash,
            "tradeIDs": record.trades,
            "transactionsHashes": [trade.transaction for trade in trades],
        }

    async def _hold(self, records: list[OrderRecord]) -> None:
        """Hold marketable orders as the venue does in fast markets, all of a batch together."""
        held_ms = 0
        for record in records:
            if self._is_marketable(record.order):
                held_ms = max(held_ms, record.market.hold_ms)
        if held_ms:
            await asyncio.sleep(held_ms / 1000)

    async def _post_order(self, request: web.Request, login: Login) -> web.Response:
        body = await self._body(request)
        try:
            record = self._accept(body, login)
            await self._hold([record])
            return json_response(self._place(record))
        except Refusal as refusal:
            raise self._refused(refusal, login) from None

    async def _post_orders(self, request: web.Request, login: Login) -> web.Response:
        bodies = await self._body(request)
        if not isinstance(bodies, list) or not bodies:
            raise Refusal("Invalid payload")
        if len(bodies) > ORDERS_MAX:
            raise Refusal(f"Too many orders in payload: {len(bodies)}, max allowed: {ORDERS_MAX}")
        entries: list[OrderRecord | Refusal] = []
        for body in bodies:
            try:
                entries.append(self._accept(body, login))
            except Refusal as refusal:
                entries.append(refusal)
        await self._hold([entry for entry in entries if isinstance(entry, OrderRecord)])
        answers = []
        with self._exchange.burst():
            for entry in entries:
                try:
                    if isinstance(entry, Refusal):
                        raise entry
                    answers.append(self._place(entry))
                except Refusal as refusal:
                    self._refused(refusal, login)
                    answers.append({**REFUSED_LEG, "errorMsg": refusal.text})
        return json_response(answers)

    # -- cancels -------------------------------------------------------------------------

    def _cancelled(self, login: Login, ids: list[str]) -> web.Response:
        cancelled, refused = self._exchange.cancel_ids(login[0], ids)
        return json_response({"canceled": cancelled, "not_canceled": refused})

    async def _cancel_order(self, request: web.Request, login: Login) -> web.Response:
        body = await self._body(request)
        if not isinstance(body, dict) or not isinstance(body.get("orderID"), str):
            raise Refusal("Invalid order payload")
        return self._cancelled(login, [body["orderID"]])

    async def _cancel_orders(self, request: web.Request, login: Login) -> web.Response:
        body = await self._body(request)
        if not isinstance(body, list) or not all(isinstance(item, str) for item in body):
            raise Refusal("Invalid order payload")
        if len(body) > CANCELS_MAX:
            raise Refusal("Payload exceeds the limit")
        return self._cancelled(login, body)

    async def _cancel_all(self, _: web.Request, login: Login) -> web.Response:
        records = self._exchange.open_records(login[0].account)
        return self._cancel_many(login, records)

    def _cancel_many(self, login: Login, records: list[OrderRecord]) -> web.Response:
        order_ids = [record.order.id for record in records]
        return self._cancelled(login, self._exchange.faults.miss(order_ids))

    async def _cancel_market(self, request: web.Request, login: Login) -> web.Response:
        body = await self._body(request)
        if not isinstance(body, dict):
            raise Refusal("Invalid payload")
        records = self._chosen(login, body.get("market") or "", body.get("asset_id") or "")
        return self._cancel_many(login, records)

    # -- listings ------------------------------------------------------------------------

    def _chosen(self, login: Login, condition: str, asset: str) -> list[OrderRecord]:
        return [
            record
            for record in self._exchange.open_records(login[0].account)
            if condition in ("", record.market.condition_id)
            and asset in ("", record.market.token(record.order.outcome))
        ]

    async def _get_order(self, request: web.Request, login: Login) -> web.Response:
        record = self._exchange.orders.get(request.match_info["id"])
        if record is None or record.account != login[0].account:
            return json_response(None)
        live = record.order.status == OrderStatus.LIVE or record.status == DELAYED
        return json_response(record.rest() if live else None)

    async def _get_orders(self, request: web.Request, login: Login) -> web.Response:
        query = request.query
        records = self._chosen(login, query.get("market", ""), query.get("asset_id", ""))
        wanted = query.get("id", "")
        records = [record for record in records if wanted in ("", record.order.id)]
        return cursor_page(request, records, PAGE_MAX, OrderRecord.rest)

    async def _get_trades(self, request: web.Request, login: Login) -> web.Response:
        query = request.query
        keys = {credentials.api_key for credentials in login[0].keys.values()}

        try:
            after_s = int(query.get("after", "0"))
            before_s = int(query.get("before", str(2**62)))
        except ValueError:
            raise Refusal("Invalid payload") from None

        def fits(trade: TradeRecord) -> bool:
            return (
                query.get("id", "") in ("", trade.id)
                and query.get("market", "") in ("", trade.market.condition_id)
                and query.get("asset_id", "") in ("", trade.market.token(trade.matched.outcome))
                and after_s <= trade.match_ns // NS_PER_S <= before_s
            )

        # Newest first, as the venue lists them.
        trades = [t for t in reversed(self._exchange.trades_of(login[0].account)) if fits(t)]
        return cursor_page(
            request, trades, PAGE_MAX, lambda t: t.rest(taker_view=t.taker.api_key in keys)
        )

    async def _balance(self, request: web.Request, login: Login) -> web.Response:
        kind = plain_count(request.query.get("signature_type", "0")) or 0
        if kind >= len(login[0].wallets):
            raise Refusal("Invalid payload")
        wallet = login[0].wallets[kind]
        if request.path.endswith("/update"):
            self._exchange.refresh(wallet)
        holding = self._exchange.accounts.holding(wallet.account)
        balance, asset = holding.cash_micro, "COLLATERAL"
        if request.query.get("asset_type", "COLLATERAL").startswith("CONDITIONAL"):
            found = self._exchange.catalog.by_token.get(request.query.get("token_id", ""))
            if found is None:
                raise Refusal("Invalid token id")
            balance, asset = holding.token(found[0].index, found[1]).lots, "CONDITIONAL"
        allowances = {who: str(wallet.allowance(asset, who)) for who in self._spenders}
        return json_response({"balance": str(balance), "allowances": allowances})

    async def _heartbeat(self, request: web.Request, login: Login) -> web.Response:
        body = await self._body(request)
        given = body.get("heartbeat_id") if isinstance(body, dict) else None
        member = login[0]
        if member.heartbeat_id and given != member.heartbeat_id:
            text = "Invalid Heartbeat ID"
            return json_response(
                {"error": text, "error_msg": text, "heartbeat_id": member.heartbeat_id}, 400
            )
        member.heartbeat_id = member.heartbeat_id or str(
            uuid.uuid5(uuid.NAMESPACE_URL, member.address)
        )
        member.heartbeat_ns = monotonic_ns()
        return json_response({"heartbeat_id": member.heartbeat_id})
