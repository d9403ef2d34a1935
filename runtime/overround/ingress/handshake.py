"""The opening handshake of a WebSocket client (RFC 6455, section 4), without I/O.

Cold path: one request and one answer a connection. Nothing is negotiated: an answer that names an
extension or a subprotocol is refused, because its frames would mean something else.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from overround.errors import ConfigError

__all__ = ["HandshakeError", "Target", "build_request", "check_answer", "new_key", "parse_url"]

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PORTS = {"ws": 80, "wss": 443}


class HandshakeError(ConnectionError):
    """The peer's answer does not open a WebSocket; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    host: str
    port: int
    secure: bool
    path: str
    authority: str
    """Value of the Host header: the port stands there unless it is the scheme's own."""


def parse_url(url: str) -> Target:
    """Return the parts of a ws or wss URL; raises ConfigError for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname
    except (KeyError, ValueError):
        host = None
    if not host or any(ord(character) <= 32 for character in url):
        raise ConfigError(f"{url!r} is no WebSocket URL: it begins with ws:// or wss://")
    name = f"[{host}]" if ":" in host else host
    authority = name if port == _PORTS[parts.scheme] else f"{name}:{port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, port, parts.scheme == "wss", path, authority)


def new_key() -> str:
    """Return a fresh nonce for one handshake."""
    return base64.b64encode(os.urandom(16)).decode()


def build_request(target: Target, key: str) -> bytes:
    """Return the bytes that ask for the upgrade."""
    return (
        f"GET {target.path} HTTP/1.1\r\n"
        f"Host: {target.authority}\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n"
        "\r\n"
    ).encode()


def check_answer(head: bytes, key: str) -> None:
    """Return if these bytes, blank line included, accept the request; raises HandshakeError."""
    line, _, rest = head.partition(b"\r\n")
    status = line.decode("latin-1", "replace").split(" ", 2)
    if len(status) < 2 or not status[0].startswith("HTTP/1.1"):
        raise HandshakeError(f"the answer is no HTTP/1.1: {line[:80]!r}")
    if status[1] != "101":
        raise HandshakeError(f"the venue answered {' '.join(status[1:])!r} instead of 101")
    try:
        headers = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException as error:
        raise HandshakeError(f"the answer's headers cannot be read: {error}") from None
    upgrade = (headers.get("Upgrade") or "").strip().lower()
    options = [word.strip().lower() for word in (headers.get("Connection") or "").split(",")]
    if upgrade != "websocket" or "upgrade" not in options:
        raise HandshakeError("the answer's headers do not upgrade to websocket")
    wanted = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()
    accepts = headers.get_all("Sec-WebSocket-Accept") or []
    if [accept.strip() for accept in accepts] != [wanted]:
        raise HandshakeError("Sec-WebSocket-Accept does not answer our key")
    for header in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
        if headers.get(header) is not None:
            raise HandshakeError(f"the answer has a {header} that we did not ask for")
