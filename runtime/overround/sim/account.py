"""The quieter endpoints behind a login: keys of other kinds, notifications, scoring, rewards."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from overround.sim.answers import Handler, cursor_page, error, json_response
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.sim.markets import PUSD, REWARDS_PAGE, MarketsApi
from overround.sim.members import Member
from overround.sim.payload import plain_count, read_json
from overround.sim.rewards import Rewards
from overround.units import MICRO_PER_UNIT
from overround.venues.polymarket.auth import Credentials, verify_l2

__all__ = ["RELAYER_PREFIX", "AccountApi"]

RELAYER_PREFIX = "/relayer"

Login = tuple[Member, Credentials]
LoggedIn = Callable[[web.Request, Login], Awaitable[web.StreamResponse]]
Guard = Callable[[LoggedIn], Handler]

SCORING_MAX = 1_000
BUILDER_HEADERS = {
    "POLY_API_KEY": "POLY_BUILDER_API_KEY",
    "POLY_PASSPHRASE": "POLY_BUILDER_PASSPHRASE",
    "POLY_SIGNATURE": "POLY_BUILDER_SIGNATURE",
    "POLY_TIMESTAMP": "POLY_BUILDER_TIMESTAMP",
}


def _addresses(login: Login) -> list[str]:
    return [wallet.address for wallet in login[0].wallets]


@dataclass(slots=True)
class _BuilderKey:
    address: str
    credentials: Credentials
    created: str
    revoked: str | None = None


class AccountApi:
    """Handlers that need L2 authentication but touch no order."""

    def __init__(self, exchange: Exchange, rewards: Rewards, guard: Guard, seed: int) -> None:
        self._exchange = exchange
        self._rewards = rewards
        self._guard = guard
        self._listings = MarketsApi(exchange, rewards)
        self._seed = seed
        self._made = 0
        self.tier_of: Callable[[str], str] = lambda _: "standard"
        """Rate-limit tier of a signer's address."""
        self._readonly: dict[str, str] = {}
        """Address by key."""
        self._builders: dict[str, _BuilderKey] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        l2 = self._guard
        return [
            web.post("/auth/readonly-api-key", l2(self._make_readonly)),
            web.delete("/auth/readonly-api-key", l2(self._drop_readonly)),
            web.get("/auth/readonly-api-keys", l2(self._list_readonly)),
            web.get("/auth/validate-readonly-api-key", self._check_readonly),
            web.post("/auth/builder-api-key", l2(self._make_builder)),
            web.get("/auth/builder-api-key", l2(self._list_builder)),
            web.delete("/auth/builder-api-key", self._revoke_builder),
            web.get("/data/pre-migration-orders", l2(self._no_orders)),
            web.get("/notifications", l2(self._notices)),
            web.delete("/notifications", l2(self._drop_notices)),
            web.get("/order-scoring", l2(self._scoring)),
            web.post("/orders-scoring", l2(self._all_scoring)),
            web.get("/rewards/user", l2(self._earnings)),
            web.get("/rewards/user/total", l2(self._total)),
            web.get("/rewards/user/percentages", l2(self._percentages)),
            web.get("/rewards/user/markets", l2(self._earning_markets)),
            web.get("/v1/user/rate-limit-tier", l2(self._tier)),
            web.get("/v1/user/session-signers", l2(self._no_signers)),
            web.get(RELAYER_PREFIX + "/deployed", self._deployed),
        ]

    def _hash(self, purpose: str) -> bytes:
        self._made += 1
        return hashlib.sha256(f"{self._seed}/{purpose}/{self._made}".encode()).digest()

    def _now_iso(self) -> str:
        return datetime.fromtimestamp(self._exchange.now_s, UTC).isoformat().replace("+00:00", "Z")

    # -- read-only keys ------------------------------------------------------------------

    async def _make_readonly(self, _: web.Request, login: Login) -> web.Response:
        key = str(uuid.UUID(bytes=self._hash("readonly")[:16], version=4))
        self._readonly[key] = login[0].address.lower()
        return json_response({"apiKey": key})

    async def _list_readonly(self, _: web.Request, login: Login) -> web.Response:
        own = login[0].address.lower()
        return json_response([key for key, address in self._readonly.items() if address == own])

    async def _drop_readonly(self, request: web.Request, login: Login) -> web.Response:
        try:
            body = read_json(await request.read())
        except ValueError:
            body = None
        key = body.get("key") if isinstance(body, dict) else None
        if not isinstance(key, str):
            return error(400, "Invalid payload")
        if self._readonly.get(key) != login[0].address.lower():
            return error(404, "api key not found")
        del self._readonly[key]
        return json_response(True)

    async def _check_readonly(self, request: web.Request) -> web.Response:
        address = request.query.get("address", "").lower()
        if not address or self._readonly.get(request.query.get("key", "")) != address:
            return error(401, "Unauthorized/Invalid api key")
        return json_response("OK")

    # -- builder keys --------------------------------------------------------------------

    async def _make_builder(self, _: web.Request, login: Login) -> web.Response:
        credentials = Credentials(
            str(uuid.UUID(bytes=self._hash("builder key")[:16], version=4)),
            base64.urlsafe_b64encode(self._hash("builder secret")).decode(),
            self._hash("builder passphrase").hex(),
        )
        made = _BuilderKey(login[0].address, credentials, self._now_iso())
        self._builders[credentials.api_key] = made
        return json_response(
            {
                "key": credentials.api_key,
                "secret": credentials.secret,
                "passphrase": credentials.passphrase,
            }
        )

    async def _list_builder(self, _: web.Request, login: Login) -> web.Response:
        return json_response(
            [
                {"key": key, "createdAt": made.created, "revokedAt": made.revoked}
                for key, made in self._builders.items()
                if made.address == login[0].address
            ]
        )

    async def _revoke_builder(self, request: web.Request) -> web.StreamResponse:
        """Revoke the key that signed the request, or with a plain login the newest one."""
        if "POLY_BUILDER_API_KEY" not in request.headers:
            return await self._guard(self._revoke_newest)(request)
        made = self._builders.get(request.headers["POLY_BUILDER_API_KEY"])
        if made is None or made.revoked:
            return error(401, "Unauthorized/Invalid api key")
        headers = {plain: request.headers.get(name, "") for plain, name in BUILDER_HEADERS.items()}
        headers["POLY_ADDRESS"] = made.address
        body = await request.read()
        signed = verify_l2(
            headers, made.credentials, made.address, request.method, request.path, body
        )
        if not signed:
            return error(401, "Unauthorized/Invalid api key")
        made.revoked = self._now_iso()
        return json_response("OK")

    async def _revoke_newest(self, _: web.Request, login: Login) -> web.Response:
        for made in reversed(self._builders.values()):
            if made.address == login[0].address and not made.revoked:
                made.revoked = self._now_iso()
                return json_response("OK")
        return error(404, "api key not found")

    # -- notifications -------------------------------------------------------------------

    async def _notices(self, _: web.Request, login: Login) -> web.Response:
        exchange = self._exchange
        return json_response(exchange.notices.of(_addresses(login), exchange.now_s))

    async def _drop_notices(self, request: web.Request, login: Login) -> web.Response:
        ids = [plain_count(text) for text in request.query.get("ids", "").split(",")]
        known = {number for number in ids if number is not None}
        if len(known) != len(set(ids)):
            return error(400, "Invalid payload")
        self._exchange.notices.drop(_addresses(login), known)
        return json_response("OK")

    # -- scoring and rewards -------------------------------------------------------------

    def _scores(self, order_id: str, login: Login) -> bool:
        record = self._exchange.orders.get(order_id)
        mine = record is not None and record.account == login[0].account
        return bool(mine and record and self._rewards.order_score(record))

    async def _scoring(self, request: web.Request, login: Login) -> web.Response:
        order_id = request.query.get("order_id", "")
        if not order_id:
            return error(400, "Invalid payload")
        return json_response({"scoring": self._scores(order_id, login)})

    async def _all_scoring(self, request: web.Request, login: Login) -> web.Response:
        try:
            ids = read_json(await request.read())
        except ValueError:
            ids = None
        if not isinstance(ids, list) or len(ids) > SCORING_MAX:
            return error(400, "Invalid payload")
        return json_response({str(text): self._scores(str(text), login) for text in ids})

    @staticmethod
    def _day(request: web.Request) -> str | None:
        try:
            return date.fromisoformat(request.query.get("date", "")).isoformat()
        except ValueError:
            return None

    def _earning(self, day: str, address: str, micro: int) -> dict[str, Any]:
        return {
            "date": f"{day}T00:00:00Z",
            "asset_address": PUSD,
            "maker_address": address,
            "earnings": micro / MICRO_PER_UNIT,
            "asset_rate": 1,
        }

    async def _earnings(self, request: web.Request, login: Login) -> web.Response:
        day, member = self._day(request), login[0]
        if day is None:
            return error(400, "Invalid date")
        markets = self._exchange.catalog.markets
        rows = list(self._rewards.earned(day, member.account).items())

        def row(item: tuple[int, int]) -> dict[str, Any]:
            index, micro = item
            condition = markets[index].condition_id
            return {"condition_id": condition, **self._earning(day, member.address, micro)}

        return cursor_page(request, rows, REWARDS_PAGE, row)

    async def _total(self, request: web.Request, login: Login) -> web.Response:
        day = self._day(request)
        if day is None:
            return error(400, "Invalid date")
        earned = self._rewards.earned(day, login[0].account)
        total = sum(earned.values())
        return json_response([self._earning(day, login[0].address, total)] if earned else [])

    async def _percentages(self, _: web.Request, login: Login) -> web.Response:
        shares = self._rewards.shares_ppm(login[0].account)
        markets = self._exchange.catalog.markets
        return json_response({markets[i].condition_id: ppm / 10_000 for i, ppm in shares.items()})

    async def _earning_markets(self, request: web.Request, login: Login) -> web.Response:
        day, member = self._day(request), login[0]
        if day is None:
            return error(400, "Invalid date")
        shares = self._rewards.shares_ppm(member.account)
        earned = self._rewards.earned(day, member.account)

        def row(market: SimMarket) -> dict[str, Any]:
            micro = earned.get(market.index, 0)
            breakdown = {
                "asset_address": PUSD,
                "earnings": micro / MICRO_PER_UNIT,
                "asset_rate": 1,
            }
            return {
                **self._listings.reward_row(market),
                "maker_address": member.address,
                "earning_percentage": shares.get(market.index, 0) / 10_000,
                "earnings": [breakdown] if micro else [],
            }

        size = plain_count(request.query.get("page_size", "")) or 100
        markets = self._rewards.markets()
        return cursor_page(request, markets, min(size, REWARDS_PAGE), row)

    # -- what nobody here has ------------------------------------------------------------

    async def _no_orders(self, request: web.Request, _: Login) -> web.Response:
        return cursor_page(request, [], 100, dict)

    async def _deployed(self, request: web.Request) -> web.Response:
        """Answer the relayer's one question: is there a wallet at an address?"""
        address = request.query.get("address", "")
        return json_response({"deployed": self._exchange.members.wallet(address) is not None})

    async def _tier(self, _: web.Request, login: Login) -> web.Response:
        return json_response({"tier": self.tier_of(login[0].address).capitalize()})

    async def _no_signers(self, _: web.Request, __: Login) -> web.Response:
        return json_response([])
