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

from overround.config.schema import Ingress
from overround.execute.news import News
from overround.execute.trust import ChannelTrust
from overround.observe.metrics import Value
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.records import UserOrder, UserTrade
from overround.venues.polymarket.wire import PING, decode_user, user_hello

__all__ = ["UserStream"]

FRAME_BYTES_MAX: Final = 4 * 2**20


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
        self._greeted = False
        """Whether this connection still has to answer our login with any frame at all."""

    async def run(self, session: aiohttp.ClientSession, credentials: Credentials) -> None:
        """Connect, listen, and connect again with backoff and full jitter; for ever."""
        delay_ms = self._settings.reconnect_delay_ms
        while True:
            try:
                async with session.ws_connect(self._url, max_msg_size=FRAME_BYTES_MAX) as socket:
                    await socket.send_str(user_hello(credentials))
                    await socket.send_str(PING)  # answered in order: then it listens
                    self._greeted = True
                    delay_ms = self._settings.reconnect_delay_ms
                    await self._listen(socket)
                reason = "closed by the venue"
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:  # noqa: UP041
                reason = f"{type(error).__name__} {error}"
            self._trust.lost()
            self._news.count(Value.USER_RECONNECTS)
            self._news.notice("user channel lost", reason=reason, again_ms_at_most=delay_ms)
            await asyncio.sleep(self._random.uniform(0, delay_ms / 1_000))
            delay_ms = min(2 * delay_ms, self._settings.reconnect_delay_max_ms)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        interval_s = self._settings.ping_interval_ms / 1_000
        silent_pings_max = max(1, self._settings.pong_timeout_ms // self._settings.ping_interval_ms)
        silent_pings = 0
        while True:
            try:
                message = await socket.receive(timeout=interval_s)
            except asyncio.TimeoutError:  # noqa: UP041
                silent_pings += 1
                if silent_pings > silent_pings_max:
                    return
                await socket.send_str(PING)
                continue
            silent_pings = 0
            if self._greeted:
                self._greeted = False
                self._trust.connected()
                self._on_connected()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self._frame(message.data)
            elif message.type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSING,
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            ):
                return

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
