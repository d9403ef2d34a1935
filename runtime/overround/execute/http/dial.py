"""Opening a connection: the venue's name, its addresses, TLS, and why it did not work.

TLS is verified against the system's authorities and the host's own name. When that fails there
is no connection: plain text is spoken only to a URL that begins with ``http://``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from overround.errors import ConfigError
from overround.execute.http.trouble import Trouble

__all__ = ["DialError", "Origin", "dial"]

P = TypeVar("P", bound=asyncio.Protocol)


class DialError(Exception):
    """No connection: which trouble it is, and the system's own words."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(f"{trouble.title}: {text}")
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of the venue, and the path that goes before every request's."""

    host: str
    port: int
    tls: bool
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Return the origin of a URL; ConfigError if it is none of http or https."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"rest_url {url!r} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ConfigError(f"rest_url {url!r}: expected http://host or https://host")
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def host_header(self) -> str:
        """Value of the Host header: the port is named where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


async def dial(
    origin: Origin,
    context: ssl.SSLContext | None,
    make: Callable[[socket.socket], P],
    attempt: int,
) -> P:
    """Return the protocol of a new connection, its TLS verified; DialError if there is none.

    ``attempt`` chooses among the addresses of the name, so that one dead address is passed by.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DialError(Trouble.DNS, f"{origin.host}: {error.strerror or error}") from None
    except UnicodeError as error:  # empty or over-long labels: nothing that could be asked for
        raise DialError(Trouble.DNS, f"{origin.host}: {error}") from None
    if not found:
        raise DialError(Trouble.DNS, f"{origin.host} has no address")
    family, kind, number, _, address = found[attempt % len(found)]
    where = f"{origin.host}:{origin.port}"
    try:
        sock = socket.socket(family, kind, number)
    except OSError as error:  # no descriptor is left
        raise DialError(Trouble.CONNECT, f"{where}: {error.strerror or error}") from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
        _, protocol = await loop.create_connection(
            lambda: make(sock),
            sock=sock,
            ssl=context if origin.tls else None,
            server_hostname=origin.host if origin.tls else None,
        )
    except BaseException as error:
        sock.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise DialError(Trouble.TLS, f"{where}: {error.verify_message}") from None
        if isinstance(error, ssl.SSLError):
            raise DialError(Trouble.TLS, f"{where}: {error.reason or error}") from None
        if isinstance(error, OSError):
            raise DialError(Trouble.CONNECT, f"{where}: {error.strerror or error}") from None
        raise
    return protocol
