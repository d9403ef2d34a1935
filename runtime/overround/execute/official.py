"""The venue's own Python clients as the wire: every request through their methods, in threads.

They block, hide when a byte left, and tell neither headers nor the exact text of some failures;
they are here to compare with and to fall back on. What is journaled is still ours: orders are
signed before they are handed over, and the client posts them under the same id.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from overround.clock import NS_PER_S
from overround.errors import ConfigError, OrderError
from overround.execute.build import ORDER_TYPES, OrderBuilder, Prepared, Sealed, Terms
from overround.execute.http.answer import Kind, NoAnswer, NotSent, Response
from overround.execute.markets import MarketInfo
from overround.layout.intent import IntentFlag
from overround.venues.polymarket.answers import CURSOR_END
from overround.venues.polymarket.auth import CHAIN_ID, Credentials
from overround.venues.polymarket.orders import order_salt
from overround.venues.polymarket.rest import Request

__all__ = ["OfficialWire", "V1Builder"]

ZERO_ADDRESS: Final = "0x" + "00" * 20
MODULES: Final = {"py-clob-client-v2": "py_clob_client_v2", "py-clob-client": "py_clob_client"}


def _module(package: str, name: str) -> Any:
    try:
        return importlib.import_module(f"{MODULES.get(package, package)}{name}")
    except ImportError as error:
        raise ConfigError(
            f'[execute] client = "{package}" is not installed ({error.name} is missing): '
            'pip install "overround[clients]", or take "native"'
        ) from None


def _prefixed(private_key: str) -> str:
    return "0x" + private_key.strip().removeprefix("0x").removeprefix("0X")


class _PostedOrder(SimpleNamespace):
    """A signed order as both clients read one: by its members, or by ``dict``."""

    def dict(self) -> dict[str, Any]:
        """Return the members as they go into the body."""
        return dict(self.__dict__)


class OfficialWire:
    """One official client behind the protocol of our own pool."""

    def __init__(
        self,
        package: str,
        url: str,
        private_key: str,
        *,
        chain_id: int,
        signature_type: int,
        funder: str,
        threads: int,
        credentials: Callable[[], Credentials | None],
        clock: Callable[[], int],
    ) -> None:
        self._package = package
        self._first = package == "py-clob-client"
        self._types = _module(package, ".clob_types")
        self._failed: type[Exception] = _module(package, ".exceptions").PolyApiException
        self._client = _module(package, ".client").ClobClient(
            url, chain_id, key=_prefixed(private_key),
            signature_type=signature_type, funder=funder or None,
        )  # fmt: skip
        # It would wait up to 30 s for transaction hashes that nothing here needs.
        self._client._resolve_transactions_hashes = lambda answer: answer
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=package)
        self._credentials = credentials
        self._clock = clock
        self._used = [0] * len(Kind)
        self._waiters: deque[tuple[Kind, asyncio.Future[None]]] = deque()

    # -- slots ---------------------------------------------------------------------------

    def take_unseen(self, kind: Kind) -> OfficialSlot | None:
        """As ``take``: an official client has no socket to look at."""
        return self.take(kind)

    def take(self, kind: Kind) -> OfficialSlot | None:
        """Return a slot if a thread is free; one thread is left to cancels."""
        others = self._used[Kind.ORDER] + self._used[Kind.QUERY]
        if sum(self._used) >= self._threads or (kind is not Kind.CANCEL
                                                and others >= self._threads - 1):  # fmt: skip
            return None
        self._used[kind] += 1
        return OfficialSlot(self, kind)

    async def wait(self, kind: Kind, deadline_ns: int) -> OfficialSlot:
        """Return a slot as soon as a thread is free; NotSent at the deadline."""
        while True:
            slot = self.take(kind)
            if slot is not None:
                return slot
            left_ns = deadline_ns - self._clock()
            if left_ns <= 0:
                raise NotSent(f"no thread of {self._package} was free in time")
            free = asyncio.get_running_loop().create_future()
            self._waiters.append((kind, free))
            try:
                async with asyncio.timeout(left_ns / NS_PER_S):
                    await free
            except TimeoutError:
                continue

    def freed(self, kind: Kind) -> None:
        """Take a slot back and wake everybody who waits, cancels first."""
        self._used[kind] -= 1
        for _, free in sorted(self._waiters, key=lambda one: one[0]):
            if not free.done():
                free.set_result(None)
        self._waiters.clear()

    def start(self, slot: OfficialSlot, request: Request, deadline_ns: int) -> Any:
        """Run a request in a thread; the future brings Response, NotSent or NoAnswer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        what = f"{request.method} {request.path}"

        def late() -> None:
            if not answer.done():
                answer.set_exception(NoAnswer(f"{what}: no answer before the deadline"))

        def done(result: Response | Exception) -> None:
            timer.cancel()
            slot.release()
            if answer.done():
                return
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        def work() -> None:
            result = self._run(request, what)
            loop.call_soon_threadsafe(done, result)

        timer = loop.call_later(max(0, deadline_ns - self._clock()) / NS_PER_S, late)
        self._pool.submit(work)
        return answer

    async def close(self) -> None:
        """Wait for the requests under way: the client has its own deadline of 5 s."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    # -- in a thread ---------------------------------------------------------------------

    def _run(self, request: Request, what: str) -> Response | Exception:
        try:
            return Response(200, msgspec.json.encode(self._ask(request)), "")
        except self._failed as error:
            status: int | None = getattr(error, "status_code", None)
            if status is not None:
                told = getattr(error, "error_msg", "")
                return Response(status, msgspec.json.encode(told), "")
            cause = type(error.__context__).__name__
            if cause in ("ConnectError", "ConnectTimeout", "PoolTimeout"):
                return NotSent(f"{what}: no connection: {error.__context__}")
            return NoAnswer(f"{what}: {cause} {error.__context__}")
        except OrderError as error:
            return NotSent(f"{what}: {error}")
        except Exception as error:  # theirs may fail in any way, with bytes sent or not
            return NoAnswer(f"{what}: {self._package}: {type(error).__name__} {error}")

    def _ask(self, request: Request) -> Any:
        """Call the client's own method for a request."""
        client, types, query = self._client, self._types, dict(request.query)
        ours = self._credentials()
        if ours is not None:
            client.set_api_creds(types.ApiCreds(ours.api_key, ours.secret, ours.passphrase))
        body: Any = json.loads(request.body) if request.body else {}
        match request.method, request.path:
            case "POST", "/order":
                return self._post(body)
            case "POST", "/orders":
                return self._post_many(body)
            case "DELETE", "/order":
                if self._first:
                    return client.cancel(body["orderID"])
                return client.cancel_order(types.OrderPayload(body["orderID"]))
            case "DELETE", "/orders":
                return client.cancel_orders(body)
            case "DELETE", "/cancel-all":
                return client.cancel_all()
            case "DELETE", "/cancel-market-orders":
                if self._first:
                    return client.cancel_market_orders(**body)
                return client.cancel_market_orders(types.OrderMarketCancelParams(**body))
            case "GET", "/data/orders":
                orders = client.get_orders if self._first else client.get_open_orders
                return _page(orders(types.OpenOrderParams(market=query.get("market"))))
            case "GET", "/data/trades":
                after = int(query["after"]) if "after" in query else None
                wanted = {name: query.get(name) for name in ("id", "maker_address", "market")}
                return _page(client.get_trades(types.TradeParams(after=after, **wanted)))
            case "GET", "/balance-allowance":
                return client.get_balance_allowance(self._balance(query))
            case "GET", "/balance-allowance/update":
                return client.update_balance_allowance(self._balance(query))
            case "POST", "/v1/heartbeats":
                return client.post_heartbeat(body["heartbeat_id"])
            case method, path:
                return self._ask_plain(method, path)

    def _ask_plain(self, method: str, path: str) -> Any:
        client = self._client
        match method, path:
            case "GET", "/time":
                return client.get_server_time()
            case "GET", "/auth/derive-api-key":
                return _key(client.derive_api_key())
            case "POST", "/auth/api-key":
                return _key(client.create_api_key())
            case "GET", "/auth/api-keys":
                return client.get_api_keys()
        if method == "GET" and path.startswith("/data/order/"):
            return client.get_order(path.removeprefix("/data/order/"))
        raise OrderError(f"{self._package} has no method for {method} {path}")

    def _balance(self, query: dict[str, str]) -> Any:
        return self._types.BalanceAllowanceParams(
            asset_type=query["asset_type"],
            token_id=query.get("token_id"),
            signature_type=int(query["signature_type"]),
        )

    def _posted(self, body: dict[str, Any]) -> _PostedOrder:
        order = dict(body["order"])
        if not self._first:
            order["side"] = ("BUY", "SELL").index(order["side"])
        return _PostedOrder(**order)

    def _post(self, body: dict[str, Any]) -> Any:
        post = self._client.post_order
        return post(self._posted(body), body["orderType"], post_only=body["postOnly"])

    def _post_many(self, bodies: list[dict[str, Any]]) -> Any:
        if self._first:
            kind = self._types.PostOrdersArgs
            return self._client.post_orders(
                [kind(self._posted(one), one["orderType"], one["postOnly"]) for one in bodies]
            )
        if len({one["postOnly"] for one in bodies}) > 1:
            raise OrderError("py-clob-client-v2 sends a batch post-only or not, never mixed")
        kind = self._types.PostOrdersV2Args
        orders = [kind(self._posted(one), one["orderType"]) for one in bodies]
        return self._client.post_orders(orders, post_only=bodies[0]["postOnly"])


class OfficialSlot:
    """A thread of the client, for one request."""

    __slots__ = ("_kind", "_open", "_wire")

    def __init__(self, wire: OfficialWire, kind: Kind) -> None:
        self._wire = wire
        self._kind = kind
        self._open = True

    def send(self, request: Request, deadline_ns: int) -> asyncio.Future[Response]:
        """Hand the request to the thread; the slot is free when the thread is."""
        answer: asyncio.Future[Response] = self._wire.start(self, request, deadline_ns)
        return answer

    def release(self) -> None:
        """Give the thread back."""
        if self._open:
            self._open = False
            self._wire.freed(self._kind)


def _page(items: list[Any]) -> dict[str, Any]:
    """The clients follow the cursor themselves: all of it is one page."""
    return {"data": items, "next_cursor": CURSOR_END}


def _key(made: Any) -> dict[str, str]:
    return {
        "apiKey": made.api_key,
        "secret": made.api_secret,
        "passphrase": made.api_passphrase,
    }


class V1Builder(OrderBuilder):
    """Signs orders of the venue's first version by ``py-clob-client``'s own builder."""

    def use_key(self, private_key: str) -> V1Builder:
        """Give it the key; ConfigError if the package is missing. Returns itself."""
        if self._chain_id != CHAIN_ID:
            raise ConfigError(f"order version 1 is signed for chain {CHAIN_ID} only")
        module = _module("py_order_utils", ".builders")
        signer = _module("py_order_utils", ".signer").Signer(key=_prefixed(private_key))
        self._data = _module("py_order_utils", ".model").OrderData
        config = _module("py-clob-client", ".config").get_contract_config
        self._salt = 0
        self._builders = [
            module.OrderBuilder(
                config(self._chain_id, neg_risk).exchange, self._chain_id, signer,
                lambda: self._salt,
            )
            for neg_risk in (False, True)
        ]  # fmt: skip
        return self

    def seal(
        self,
        key: str,
        timestamp_ms: int,
        market: MarketInfo,
        terms: Terms,
        prepared: Prepared,
        *,
        expiration_s: int = 0,
    ) -> Sealed:
        """Sign an order whose salt follows from ``key``; the same input gives the same bytes."""
        self._salt = order_salt(f"{key}:{self.address}".encode())
        builder = self._builders[market.neg_risk]
        data = self._data(
            maker=self._maker, taker=ZERO_ADDRESS, tokenId=market.token(terms.outcome),
            makerAmount=str(prepared.maker_micro), takerAmount=str(prepared.taker_micro),
            side=terms.side, feeRateBps="0", nonce="0", signer=self._named,
            expiration=str(expiration_s), signatureType=int(self._type),
        )  # fmt: skip
        signed = builder.build_signed_order(data)
        body = {
            "order": signed.dict(),
            "owner": self._owner,
            "orderType": ORDER_TYPES[terms.order_type].name,
            "postOnly": bool(terms.flags & IntentFlag.POST_ONLY),
        }
        order_id: str = builder._create_struct_hash(signed.order)
        return Sealed(order_id, self._salt, timestamp_ms, msgspec.json.encode(body))
