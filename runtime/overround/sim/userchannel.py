"""The user channel: authenticated sockets and the orders and trades they are told of.

No I/O: a socket is anything with ``send(text)``. Nothing is replayed after a reconnect.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from overround.sim.channel import Sink
from overround.sim.members import Members
from overround.sim.payload import read_json

__all__ = ["UserChannel", "UserSocket"]


_spaced = json.JSONEncoder(separators=(", ", ":")).encode
"""The venue's second serialiser: a space after each comma, none after a colon."""


class UserSocket:
    """One connection; ``api_key`` is empty until it has named valid credentials."""

    __slots__ = ("api_key", "markets", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.api_key = ""
        self.markets: set[str] | None = None
        """Condition ids to tell of; None means all."""

    def hears(self, event: dict[str, Any]) -> bool:
        """Return whether the socket's markets let an event through.

        No markets at all (an empty list) keep trades out but let orders in, as subscribers of
        the venue found out (py-sdk#102).
        """
        if self.markets is None or event["market"] in self.markets:
            return True
        return not self.markets and event["event_type"] == "order"


class UserChannel:
    """Tells every socket of an API key what happened to its orders and trades."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self.sockets: set[UserSocket] = set()
        self.silent = False
        self._by_key: dict[str, dict[UserSocket, None]] = {}

    def connect(self, sink: Sink) -> UserSocket:
        """Return a new socket that hears nothing until it has authenticated."""
        socket = UserSocket(sink)
        self.sockets.add(socket)
        return socket

    def disconnect(self, socket: UserSocket) -> None:
        """Forget a socket."""
        self.sockets.discard(socket)
        self._leave(socket)

    def _leave(self, socket: UserSocket) -> None:
        listeners = self._by_key.get(socket.api_key)
        if listeners is not None:
            listeners.pop(socket, None)
            if not listeners:
                del self._by_key[socket.api_key]

    def on_text(self, socket: UserSocket, text: str) -> bool:
        """Take one text frame; False means the socket is to be closed (bad credentials)."""
        if text == "PING":
            socket.sink.send("PONG")
            return True
        try:
            message = read_json(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            socket.sink.send("INVALID OPERATION")
            return True
        markets = message.get("markets")
        named = {str(item) for item in markets} if isinstance(markets, list) else None
        operation = message.get("operation")
        if operation == "subscribe" and named is not None and socket.markets is not None:
            socket.markets |= named
        elif operation == "unsubscribe" and named is not None and socket.markets is not None:
            socket.markets -= named
        elif operation is None:
            return self._authenticate(socket, message.get("auth"), named)
        return True

    def _authenticate(self, socket: UserSocket, auth: Any, markets: set[str] | None) -> bool:
        if not isinstance(auth, dict):
            return False
        found = self._members.find(str(auth.get("apiKey", "")))
        if found is None:
            return False
        credentials = found[1]
        for given, wanted in (
            (auth.get("secret"), credentials.secret),
            (auth.get("passphrase"), credentials.passphrase),
        ):
            if not hmac.compare_digest(str(given).encode(errors="replace"), wanted.encode()):
                return False
        self._leave(socket)
        socket.api_key = credentials.api_key
        self._by_key.setdefault(socket.api_key, {})[socket] = None
        socket.markets = markets
        return True

    def tell(self, api_key: str, event: dict[str, Any]) -> None:
        """Send an event to every socket of an API key that hears its market."""
        listeners = self._by_key.get(api_key)
        if self.silent or not listeners:
            return
        text = ""
        for socket in listeners:
            if not socket.hears(event):
                continue
            text = text or _spaced(event)
            socket.sink.send(text)
