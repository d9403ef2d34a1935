"""The control endpoints under ``/sim/``: what a test may ask of the exchange and do to it.

They stand outside the imitated venue: no login, their own JSON, never hit by HTTP faults.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from overround.errors import OverroundError
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.sim.faults import HttpFault
from overround.sim.flow import Flow
from overround.sim.guard import Guard
from overround.sim.members import owner_of
from overround.sim.news import new_market
from overround.sim.payload import read_json
from overround.sim.rest import error, json_response
from overround.sim.sockets import Sockets
from overround.sim.switchboard import Plan, Switchboard
from overround.sim.watch import JournalWatch
from overround.units import parse_cash, parse_price, parse_size

__all__ = ["ControlApi"]

RAW_FRAME_BYTES_MAX = 8 << 20
"""Largest frame ``/sim/frame`` makes by repetition."""

FRAMES_PER_S_MAX = 10_000
HOLD_MS_MAX = 60_000
"""What a market added while running may ask for."""

WRONG_INPUT = (AttributeError, OverflowError, OverroundError, TypeError, ValueError)
"""What a command raises when a value of its body is none it can use."""

Command = Callable[[dict[str, Any]], Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlApi:
    """Handlers of ``/sim/*``. Every POST takes a JSON object and answers with one."""

    def __init__(
        self,
        exchange: Exchange,
        flow: Flow,
        sockets: Sockets,
        guard: Guard,
        board: Switchboard,
        watch: JournalWatch | None = None,
    ) -> None:
        self._exchange = exchange
        self._flow = flow
        self._sockets = sockets
        self._guard = guard
        self._board = board
        self._watch = watch

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        commands: dict[str, Command] = {
            "faults": self._fault,
            "limits": self._limits,
            "silent": self._silent,
            "drop": self._drop,
            "fail-trades": self._fail_trades,
            "stale-books": self._stale_books,
            "refuse-sockets": self._refuse_sockets,
            "close": self._close,
            "frame": self._frame,
            "tick": self._tick,
            "flow": self._pause,
            "edge": self._edge,
            "markets": self._add_market,
            "fund": self._fund,
        }
        routes = [web.post(f"/sim/{name}", self._command(do)) for name, do in commands.items()]
        return [*routes, web.get("/sim/state", self._state), web.get("/sim/check", self._check)]

    @staticmethod
    def _command(do: Command) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = read_json(await request.read() or b"{}")
                if not isinstance(body, dict):
                    raise ValueError("the body is no JSON object")
                return json_response(do(body))
            except KeyError as missing:
                return error(400, f"missing or unknown: {missing}")
            except WRONG_INPUT as wrong:
                return error(400, str(wrong))

        return handle

    def _market(self, body: dict[str, Any]) -> SimMarket:
        return self._exchange.catalog.by_condition[body["market"]]

    # -- faults --------------------------------------------------------------------------

    def _fault(self, body: dict[str, Any]) -> Any:
        """``{switch, value, market, at_s, for_s}``: a switch of the table; 0 turns it off.

        ``{path, count, method, before_ms, delay_ms, lose, status, text}``: trouble for the next
        requests under a path. ``{clear}``: everything off. Answers with what is on.
        """
        faults = self._exchange.faults
        if body.get("clear"):
            self._board.clear()
        elif "switch" in body:
            self._board.run(
                Plan(
                    str(body["switch"]),
                    float(body.get("value", 1)),
                    str(body.get("market", "")),
                    float(body.get("at_s", 0)),
                    float(body.get("for_s", 0)),
                )
            )
        elif body:
            faults.http.append(HttpFault(**body))
        return self._board.state()

    def _limits(self, body: dict[str, Any]) -> Any:
        """``{mode, tier, address}``: off, warn or enforce; the tier of one signer or of all."""
        limits = self._board.limits
        mode = str(body.get("mode", limits.mode))
        limits.set_mode(mode, str(body.get("tier", "")), str(body.get("address", "")))
        return {"mode": limits.mode, "tier": limits.tier, "refused": limits.refused}

    def _silent(self, body: dict[str, Any]) -> Any:
        """``{market, on}``: a market's frames are not sent, though its book goes on."""
        if body.get("channel") == "user":
            self._exchange.users.silent = bool(body.get("on", True))
            return {"user": self._exchange.users.silent}
        silent = self._exchange.channel.silent
        index = self._market(body).index
        if body.get("on", True):
            silent.add(index)
        else:
            silent.discard(index)
        return {"silent": sorted(silent)}

    def _drop(self, body: dict[str, Any]) -> Any:
        """``{market, count}``: the next price_change frames of a market are lost."""
        self._exchange.channel.drop_next[self._market(body).index] = int(body.get("count", 1))
        return {"ok": True}

    def _fail_trades(self, body: dict[str, Any]) -> Any:
        """``{count}``: so many trades end as FAILED."""
        self._exchange.faults.fail_trades = int(body.get("count", 1))
        return {"fail_trades": self._exchange.faults.fail_trades}

    def _stale_books(self, body: dict[str, Any]) -> Any:
        """``{on}``: ``/book`` and ``/books`` answer with the books of this moment until off."""
        books = self._exchange.books
        frozen = {
            book.market.token(outcome): book.rest_text(outcome)
            for book in books
            for outcome in (0, 1)
        }
        self._exchange.faults.stale_books = frozen if body.get("on", True) else None
        return {"stale": bool(self._exchange.faults.stale_books)}

    def _refuse_sockets(self, body: dict[str, Any]) -> Any:
        """``{on}``: WebSocket upgrades answer 503."""
        self._exchange.faults.refuse_sockets = bool(body.get("on", True))
        return {"refuse_sockets": self._exchange.faults.refuse_sockets}

    def _close(self, body: dict[str, Any]) -> Any:
        """``{channel}``: cut every connection of "market" or "user"."""
        return {"closed": self._sockets.abort(body.get("channel", "market"))}

    def _frame(self, body: dict[str, Any]) -> Any:
        """``{text, repeat, binary, channel}``: send any frame to every connection."""
        text, repeat = str(body["text"]), int(body.get("repeat", 1))
        if len(text) * repeat > RAW_FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(text) * repeat} is above {RAW_FRAME_BYTES_MAX}")
        text *= repeat
        item = text.encode() if body.get("binary") else text
        return {"sent": self._sockets.send_raw(body.get("channel", "market"), item)}

    # -- markets and flow ----------------------------------------------------------------

    def _tick(self, body: dict[str, Any]) -> Any:
        """``{market, tick}``: change a tick size."""
        self._exchange.set_tick(self._market(body).index, parse_price(str(body["tick"])))
        return {"ok": True}

    def _pause(self, body: dict[str, Any]) -> Any:
        """``{paused}``: stop or go on moving the books."""
        self._flow.paused = bool(body.get("paused", True))
        return {"paused": self._flow.paused}

    def _edge(self, body: dict[str, Any]) -> Any:
        """``{kind, gain_ticks, size, hold_ms}``: open an edge now, also while paused."""
        opened = self._flow.open_edge(
            body.get("kind", "buy_all"),
            gain_ticks=int(body.get("gain_ticks", 0)),
            size_lots=parse_size(str(body.get("size", "0"))),
            hold_ms=int(body.get("hold_ms", 0)),
        )
        return {"opened": opened}

    def _add_market(self, body: dict[str, Any]) -> Any:
        """List a market while running.

        ``{question, slug, tick, bids, asks, frames_per_s, hold_ms, protocol}``, none needed.
        """
        number = len(self._exchange.catalog.markets)
        rate, hold_ms = float(body.get("frames_per_s", 5.0)), int(body.get("hold_ms", 0))
        if not 0 <= rate <= FRAMES_PER_S_MAX or not 0 <= hold_ms <= HOLD_MS_MAX:
            raise ValueError(
                f"frames_per_s from 0 to {FRAMES_PER_S_MAX}, hold_ms from 0 to {HOLD_MS_MAX}"
            )

        def levels(key: str, default: list[list[str]]) -> list[tuple[int, int]]:
            return [(parse_price(p), parse_size(s)) for p, s in body.get(key, default)]

        market = self._exchange.list_market(
            str(body.get("question", f"Will event {number} happen?")),
            str(body.get("slug", f"will-event-{number}-happen")),
            levels("bids", [["0.48", "120"], ["0.47", "300"], ["0.46", "500"]]),
            levels("asks", [["0.52", "110"], ["0.53", "250"], ["0.54", "480"]]),
            parse_price(str(body.get("tick", "0.01"))),
            hold_ms,
            int(body.get("protocol", 2)),
        )
        self._flow.add_market(market, rate)
        self._exchange.channel.announce(new_market(market, self._exchange.now_ms))
        return {"market": market.condition_id, "tokens": [market.token_yes, market.token_no]}

    def _fund(self, body: dict[str, Any]) -> Any:
        """``{address, cash, signature_type}``: give a wallet play money, by its own address or its
        key's and the type."""
        members, address = self._exchange.members, str(body["address"])
        wallet = members.wallet(address)
        kind = int(body.get("signature_type", wallet.signature_type if wallet else 0))
        member = members.by_account[owner_of(wallet.account)] if wallet else members.join(address)
        if not 0 <= kind < len(member.wallets):
            raise ValueError(f"signature type {kind} is unknown: expected 0 to 3")
        self._exchange.fund(member, parse_cash(str(body["cash"])), kind)
        return {"account": member.wallets[kind].account}

    # -- looking in ----------------------------------------------------------------------

    async def _state(self, _: web.Request) -> web.Response:
        exchange, flow = self._exchange, self._flow
        channel = exchange.channel
        edges = [
            {
                "opened": edge.opened,
                "taken": edge.taken,
                "expired": edge.expired,
                "taken_lots": edge.taken_lots,
                "active": edge.active,
            }
            for edge in flow.edges
        ]
        return json_response(
            {
                "server_errors": self._guard.server_errors,
                "bad_http": self._guard.bad_http,
                "markets": len(exchange.catalog.markets),
                "sockets": self._sockets.counts(),
                "frames_sent": channel.frames_sent,
                "frames_dropped": channel.frames_dropped,
                "flow_events": flow.events,
                "flow_skipped": flow.skipped,
                "trades": exchange.trade_count,
                "member_orders": len(exchange.orders),
                "member_trades": len(exchange.trades),
                "unsettled": exchange.unsettled(),
                "log": exchange.log.counts,
                "order_faults": exchange.faults.hits,
                "unjournaled": self._watch.unjournaled if self._watch else 0,
                "starts": exchange.generation,
                "edges": edges,
            }
        )

    async def _check(self, _: web.Request) -> web.Response:
        """Check the engine's invariants (money, books, reservations) to the micro-unit."""
        self._exchange.engine.check()
        return json_response({"ok": True})
