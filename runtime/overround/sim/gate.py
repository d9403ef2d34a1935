"""The gate in front of the REST handlers: rate limits, and the fault switches of requests.

With limits and switches off a request passes after two tests. Control endpoints and sockets are
never stopped here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from overround.clock import NS_PER_S, epoch_ns, monotonic_ns
from overround.match.types import BookSide, Order, OrderStatus, OrderType, Outcome, Side
from overround.sim.faults import Faults, HttpFault
from overround.sim.makers import TAKER_ACCOUNT
from overround.sim.members import Member
from overround.sim.payload import read_json
from overround.sim.switchboard import Switchboard
from overround.sim.watch import JournalWatch

__all__ = ["Gate"]

ORDER_PATHS = frozenset(
    ("/order", "/orders", "/cancel-all", "/cancel-market-orders", "/v1/heartbeats")
)
POST_PATHS = frozenset(("/order", "/orders"))

REFUSALS = {
    "order-timeout": (500, "order timed out"),
    "match-delayed": (400, "order match delayed due to market conditions"),
    "market-not-ready": (400, "the market is not yet ready to process new orders"),
    "version-mismatch": (400, "order_version_mismatch"),
}
"""Answers to POST /order(s) that are used up one by one."""

POST_ONLY_TEXT = "post-only mode: only post-only orders and cancels are allowed"

HTML = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"

HOLLOW_BIDS = [{"price": "0.01", "size": "1000"}]
HOLLOW_ASKS = [{"price": "0.99", "size": "1000"}]

OrderIds = Callable[[Any], list[str]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _refusal(status: int, text: str, retry_s: int = 0, code: str = "") -> web.Response:
    body: dict[str, Any] = {"error": text}
    if code:
        body |= {"code": code, "retry_after_seconds": retry_s}
    headers = {"Retry-After": str(retry_s)} if retry_s else None
    return web.Response(
        text=json.dumps(body, separators=(",", ":")),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def _read(raw: bytes) -> Any:
    try:
        return read_json(raw)
    except ValueError:
        return None


class Gate:
    """One request after the other is judged, refused, slowed down, spoilt, or let through."""

    def __init__(
        self, board: Switchboard, order_ids: OrderIds, watch: JournalWatch | None = None
    ) -> None:
        """``order_ids`` names the orders of a body; ``watch`` looks into their sender's journal."""
        self._board = board
        self._order_ids = order_ids
        self._watch = watch
        self._exchange = board.exchange
        self._faults: Faults = board.exchange.faults
        self._limits = board.limits
        self._requests: weakref.WeakKeyDictionary[asyncio.BaseTransport, int] = (
            weakref.WeakKeyDictionary()
        )
        self._updated: set[int] = set()
        self._races = itertools.count(1)

    def middleware(self) -> Any:
        """Return the middleware to put before the handlers."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            faults = self._faults
            if request.path.startswith(("/sim/", "/ws/")):
                return await handler(request)
            if self._watch is not None and _posts(request):
                self._look(self._watch, request, self._order_ids(_read(await request.read())))
            if self._limits.mode == "off" and not faults.values and not faults.http:
                return await handler(request)
            with faults.about(await self._named(request)):
                return await self._pass(request, handler)

        return guarded

    def _look(self, watch: JournalWatch, request: web.Request, order_ids: list[str]) -> None:
        member = self._member(request)
        account = member.address if member else None
        for order_id, lacks in watch.missing(order_ids).items():
            self._exchange.log.write("unjournaled", account=account, order_id=order_id, lacks=lacks)

    async def _named(self, request: web.Request) -> list[str]:
        """Return the ids of the orders a request is about: posted, cancelled or asked for."""
        path = request.path
        if _posts(request):
            return self._order_ids(_read(await request.read()))
        if request.method == "GET" and path.startswith(("/data/order/", "/order/")):
            return [path.rpartition("/")[2]]
        if request.method != "DELETE" or path not in ORDER_PATHS:
            return []
        if path in POST_PATHS:
            body = _read(await request.read())
            named = body.get("orderID") if isinstance(body, dict) else body
            return [str(item) for item in (named if isinstance(named, list) else [named])]
        member = self._member(request)
        records = self._exchange.open_records(member.account) if member else []
        return [record.order.id for record in records]

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers: dict[str, str] = {}
        if self._limits.mode != "off":
            refused = await self._judge(request, headers)
            if refused is not None:
                return refused
        fault = self._faults.take_http(request.method, request.path)
        if fault is not None:
            self._faults.hit("injected")
            response = await _injected(request, handler, fault)
        else:
            response = await self._switched(request, handler)
        response.headers.update(headers)
        return response

    # -- rate limits ---------------------------------------------------------------------

    def _member(self, request: web.Request) -> Member | None:
        found = self._exchange.members.find(request.headers.get("POLY_API_KEY", ""))
        return found[0] if found else None

    async def _cost(self, request: web.Request, member: Member | None) -> int:
        if request.method not in ("POST", "DELETE") or member is None:
            return 0
        if request.path == "/order":
            return 1
        if request.path == "/orders":
            body = _read(await request.read())
            return max(1, len(body)) if isinstance(body, list) else 1
        if request.path in ("/cancel-all", "/cancel-market-orders"):
            return 1 + len(self._exchange.open_records(member.account))
        return 0

    async def _judge(self, request: web.Request, headers: dict[str, str]) -> web.Response | None:
        member = self._member(request)
        verdict = self._limits.judge(
            request.method,
            request.path,
            request.remote or "",
            member.address if member else "",
            await self._cost(request, member),
            monotonic_ns(),
        )
        headers.update(verdict.headers)
        if headers and verdict.retry_s:
            headers["Poly-RateLimit-Reset"] = str(epoch_ns() // NS_PER_S + verdict.retry_s)
        if verdict.passes:
            return None
        self._faults.hit("rate-limit")
        refused = _refusal(429, "Too Many Requests", verdict.retry_s)
        refused.headers.update(headers)
        return refused

    # -- switches ------------------------------------------------------------------------

    async def _switched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = self._faults
        posts = _posts(request)
        if self._outlived(request) or faults.take("request-lost"):
            return _hang_up(request)
        refused = await self._refused(request, posts)
        if refused is not None:
            return refused
        if faults.take("request-slow"):
            await asyncio.sleep(faults.value("request-slow") / 1000)
        await self._before(request)
        response = await handler(request)
        if isinstance(response, web.Response) and response.status == 200:
            self._spoil(request, response)
        if request.path in ORDER_PATHS and faults.take("answer-slow"):
            await asyncio.sleep(faults.value("answer-slow") / 1000)
        if posts and faults.take("answer-lost"):
            return _hang_up(request)
        if posts and faults.is_on("answer-torn") and isinstance(response, web.Response):
            faults.take("answer-torn")
            return await _torn(request, response)
        return response

    def _outlived(self, request: web.Request) -> bool:
        most = self._faults.value("close-after")
        if not most or request.transport is None:
            return False
        count = self._requests[request.transport] = self._requests.get(request.transport, 0) + 1
        return count > most and self._faults.take("close-after")

    async def _refused(self, request: web.Request, posts: bool) -> web.Response | None:
        faults, path = self._faults, request.path
        if faults.take("gateway-error"):
            return web.Response(status=502, text=HTML, content_type="text/html")
        if faults.take("too-many"):
            return _refusal(429, "Too Many Requests", 1)
        if "POLY_API_KEY" in request.headers and faults.take("key-refused"):
            return _refusal(401, "Unauthorized/Invalid api key")
        if path in ORDER_PATHS:
            if faults.take("restart"):
                return _refusal(425, "the matching engine is restarting", 1)
            if faults.take("trading-disabled"):
                text = "Trading is currently disabled. Check polymarket.com for updates"
                return _refusal(503, text)
        if not posts:
            return None
        if faults.take("cancel-only"):
            text = "Trading is currently cancel-only. New orders are not accepted, but cancels are"
            return _refusal(503, f"{text} allowed.")
        if faults.is_on("post-only") and not _only_posts(_read(await request.read())):
            faults.take("post-only")
            left_ns = self._board.until_ns.get("post-only", 0) - monotonic_ns()
            wait_s = max(1, -(-left_ns // NS_PER_S))
            return _refusal(503, POST_ONLY_TEXT, wait_s, "post_only_mode")
        for name, (status, text) in REFUSALS.items():
            if faults.take(name):
                return _refusal(status, text)
        member = self._member(request)
        if self._is_cached(member) and faults.take("balance-cached"):
            return _refusal(400, "not enough balance / allowance")
        return None

    def _is_cached(self, member: Member | None) -> bool:
        if not self._faults.is_on("balance-cached"):
            self._updated.clear()
            return False
        return member is not None and member.account not in self._updated

    async def _before(self, request: web.Request) -> None:
        faults, path = self._faults, request.path
        member = self._member(request)
        if member is None:
            return
        if path == "/v1/heartbeats" and faults.take("heartbeat-wrong"):
            member.heartbeat_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"again {next(self._races)}"))
            member.heartbeat_ns = monotonic_ns()
        if path == "/balance-allowance/update" and faults.is_on("balance-cached"):
            self._updated.add(member.account)
        if request.method == "DELETE" and faults.is_on("cancel-raced"):
            self._race(member, _read(await request.read()))

    def _race(self, member: Member, body: Any) -> None:
        """Fill half of the first order that a cancel names, ahead of the cancel."""
        exchange, faults = self._exchange, self._faults
        named = body.get("orderID") if isinstance(body, dict) else body
        wanted = [named] if isinstance(named, str) else named
        for record in exchange.open_records(member.account):
            order = record.order
            half = order.remaining_lots // 2
            if order.status != OrderStatus.LIVE or not half:
                continue
            if isinstance(wanted, list) and order.id not in wanted:
                continue
            bids = order.book_side == BookSide.BID
            level = exchange.engine.depth(order.market)[0 if bids else 1]
            ahead = -order.remaining_lots
            for price_ticks, size_lots in level:
                better = price_ticks - order.book_ticks if bids else order.book_ticks - price_ticks
                if better >= 0:
                    ahead += size_lots
            taker = Order(
                id=f"0xace{exchange.generation:05x}{next(self._races):056x}",
                account=TAKER_ACCOUNT,
                market=order.market,
                outcome=Outcome.YES,
                side=Side.SELL if bids else Side.BUY,
                price_ticks=order.book_ticks,
                size_lots=ahead + half,
                order_type=OrderType.FAK,
            )
            faults.racing = True
            exchange.submit(taker)
            faults.racing = False
            with faults.about([order.id]):
                faults.take("cancel-raced", record.market.condition_id)
            return

    # -- spoilt answers ------------------------------------------------------------------

    def _spoil(self, request: web.Request, response: web.Response) -> None:
        """Alter a good answer as the switches for its path will have it."""
        faults, path = self._faults, request.path
        value: Any = None
        if path in ("/book", "/books") and faults.values.keys() & {"book-hollow", "books-short"}:
            value = self._spoilt_books(_read(_body(response)))
        elif path.startswith("/balance-allowance") and self._is_cached(self._member(request)):
            faults.take("balance-cached")
            value = _read(_body(response)) | {"balance": "0"}
        elif faults.is_on("hashes-late"):
            value = self._hashless(path, _read(_body(response)))
        if value is not None:
            response.text = json.dumps(value, separators=(",", ":"))

    def _spoilt_books(self, books: Any) -> Any:
        faults = self._faults
        if faults.take("book-hollow"):
            for book in books if isinstance(books, list) else [books]:
                book["bids"], book["asks"] = HOLLOW_BIDS, HOLLOW_ASKS
        if isinstance(books, list) and faults.take("books-short"):
            del books[: int(faults.value("books-short"))]
        return books

    def _hashless(self, path: str, value: Any) -> Any:
        faults = self._faults
        if path in POST_PATHS:
            for answer in value if isinstance(value, list) else [value]:
                if isinstance(answer, dict) and answer.get("transactionsHashes"):
                    faults.take("hashes-late")
                    answer["transactionsHashes"] = []
            return value
        if path == "/data/trades":
            for trade in value["data"]:
                if str(trade["status"]).endswith("MATCHED"):
                    faults.take("hashes-late")
                    trade["transaction_hash"] = ""
            return value
        return None


def _body(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"null"


def _only_posts(body: Any) -> bool:
    """Return whether every order of a body is post-only."""
    orders = body if isinstance(body, list) else [body]
    return all(isinstance(order, dict) and order.get("postOnly") is True for order in orders)


def _posts(request: web.Request) -> bool:
    return request.method == "POST" and request.path in POST_PATHS


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _torn(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Send the head and half of the body, then cut the connection."""
    body = _body(response)
    torn = web.StreamResponse(status=response.status)
    torn.content_type = "application/json"
    torn.content_length = len(body)
    await torn.prepare(request)
    await torn.write(body[: len(body) // 2])
    # The half must be out before the cut, else it would be an answer lost.
    await asyncio.sleep(0)
    if request.transport is not None:
        request.transport.close()
    return torn


async def _injected(request: web.Request, handler: Handler, fault: HttpFault) -> web.StreamResponse:
    """Serve a request with the trouble that a test has asked for in particular."""
    if fault.before_ms:
        await asyncio.sleep(fault.before_ms / 1000)
    if fault.status:
        retry_s = 1 if fault.status in (425, 429, 503) else 0
        return _refusal(fault.status, fault.text or "injected", retry_s)
    response = await handler(request)
    if fault.delay_ms:
        await asyncio.sleep(fault.delay_ms / 1000)
    if fault.lose and request.transport is not None:
        request.transport.abort()
    return response
