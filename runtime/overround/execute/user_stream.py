"""The user channel: our orders and trades as they happen, and a gap told whenever it breaks.

Nothing is replayed after a reconnect, so each connection begins by asking for a reconciliation;
what happened in between comes from the listings. A socket that answers nothing for
``pong_timeout_ms`` is dead even if it looks open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

import aiohttp

from overround.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from overround.config.schema import Ingress
from overround.execute.news import News
from overround.execute.trust import ChannelTrust
from overround.observe.metrics import Value
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.records import UserOrder, UserTrade
from overround.venues.polymarket.wire import PING, decode_user, user_hello

__all__ = ["UserStream"]

FRAME_BYTES_MAX: Final = 4 * 2**20
STEADY_MS: Final = 5_000
"""A connection that listened for so long was a good one, however it ended."""


class UserStream:
    """Keeps one user socket open until it is cancelled."""

    def __init__(
        self,
        url: str,
        settings: Ingress,
        news: News,
        *,
        random: Random,
        on_events: Callable[[list[UserOrder | UserTrade]], None],
        on_connected: Callable[[], None],
        trust: ChannelTrust,
    ) -> None:
        self._url = url
        self._settings = settings
        self._news = news
        self._random = random
        self._on_events = on_events
        self._on_connected = on_connected
        self._trust = trust
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._since_ns = 0
        """When this connection gave its first answer to our login, of any kind; 0 before."""

    async def run(
        self, session: aiohttp.ClientSession, credentials: Callable[[], Credentials | None]
    ) -> None:
        """Connect, listen, and connect again with backoff and full jitter; for ever.

        The delay begins anew after a connection that listened longer than it, or for STEADY_MS:
        a venue that takes a login and hangs up is not asked ever again at once.
        """
        first_ms = delay_ms = self._settings.reconnect_delay_ms
        while True:
            proof = credentials()
            assert proof is not None, "trading begins with a login"
            try:
                reason = await self._connection(session, proof)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = f"{type(error).__name__} {error}"
            self._trust.lost()
            listened_ns = monotonic_ns() - self._since_ns if self._since_ns else 0
            if listened_ns >= min(delay_ms, STEADY_MS) * NS_PER_MS:
                delay_ms = first_ms
            self._news.count(Value.USER_RECONNECTS)
            self._news.notice("user channel lost", reason=reason, again_ms_at_most=delay_ms)
            await asyncio.sleep(self._random.uniform(0, delay_ms / 1_000))
            delay_ms = min(2 * delay_ms, self._settings.reconnect_delay_max_ms)

    async def renew(self) -> None:
        """Hang up, so that the next login is made with the credentials as they are by then."""
        if self._socket is not None:
            await self._socket.close()

    async def _connection(self, session: aiohttp.ClientSession, credentials: Credentials) -> str:
        """Live through one connection; return why it ended."""
        self._since_ns = 0
        async with asyncio.timeout(self._settings.pong_timeout_ms / 1_000):
            socket = await session.ws_connect(self._url, max_msg_size=FRAME_BYTES_MAX)
        async with socket:
            self._socket = socket
            await socket.send_str(user_hello(credentials))
            await socket.send_str(PING)  # answered in order: then it listens
            return await self._listen(socket)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Take in frames, PING at every interval; return why there are no more."""
        interval_ns = self._settings.ping_interval_ms * NS_PER_MS
        patience_ns = max(self._settings.pong_timeout_ms * NS_PER_MS, 2 * interval_ns)
        heard_ns = now_ns = monotonic_ns()
        due_ns = now_ns + interval_ns
        while True:
            if now_ns - heard_ns >= patience_ns:
                return f"silent for {patience_ns // NS_PER_MS} ms"
            if now_ns >= due_ns:  # whatever else is said: the venue wants to hear it
                await socket.send_str(PING)
                due_ns = now_ns + interval_ns
            wait_ns = min(due_ns, heard_ns + patience_ns) - now_ns
            try:
                message = await socket.receive(timeout=max(wait_ns, NS_PER_MS) / NS_PER_S)
            except TimeoutError:
                now_ns = monotonic_ns()
                continue
            heard_ns = now_ns = monotonic_ns()
            if message.type in _ENDS:
                return "closed by the venue"
            if not self._since_ns:
                self._since_ns = now_ns
                self._trust.connected()
                self._on_connected()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self._frame(message.data)

    def _frame(self, data: bytes | str) -> None:
        problems: list[str] = []
        events = decode_user(data, problems)
        for problem in problems:
            self._news.count(Value.USER_MALFORMED)
            self._news.notice("user frame not understood", problem=problem)
        if problems:
            self._trust.doubted(problems[0])
            self._on_connected()  # what could not be read may have mattered: ask for it
        if events:
            self._on_events(events)


_ENDS: Final = (
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
)
