"""The bytes of a request: a prebuilt head, the proof of who we are, the body, in one buffer.

What does not change between two requests of one method and path is formatted once. The HMAC
starts from a state that has already taken in the key.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Callable
from typing import Final

from overround.errors import OrderError, VenueError
from overround.execute.http.dial import Origin
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers
from overround.venues.polymarket.rest import Auth, Request, place_order

__all__ = ["RequestEncoder"]

TEMPLATES_MAX: Final = 64
"""Heads remembered, of writing requests only: paths of queries carry ids."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class RequestEncoder:
    """Makes the bytes of one account's requests to one origin."""

    __slots__ = (
        "_chain_id", "_common", "_credentials", "_epoch_s", "_mac", "_origin", "_proof",
        "_signer", "_templates",
    )  # fmt: skip

    def __init__(
        self, origin: Origin, signer: Signer, *, chain_id: int, epoch_s: Callable[[], int]
    ) -> None:
        self._origin = origin
        self._signer = signer
        self._chain_id = chain_id
        self._epoch_s = epoch_s
        self._common = (
            f"Host: {origin.host_header}\r\nUser-Agent: overround\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\n"
        )
        self._credentials: Credentials | None = None
        self._mac: hmac.HMAC | None = None
        self._proof = ""
        self._templates: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"RequestEncoder({self._origin.host_header})"

    @property
    def credentials(self) -> Credentials | None:
        """The credentials that requests prove; None before they are known."""
        return self._credentials

    @credentials.setter
    def credentials(self, credentials: Credentials | None) -> None:
        if credentials is None:
            self._credentials = self._mac = None
            return
        for text in (credentials.api_key, credentials.passphrase):
            if not text.isascii() or not text.isprintable():
                raise VenueError("the venue's credentials are no printable ASCII")
        self._templates.clear()
        self._credentials = credentials
        self._mac = credentials.mac()
        self._proof = (
            f"POLY_ADDRESS: {self._signer.address}\r\nPOLY_API_KEY: {credentials.api_key}\r\n"
            f"POLY_PASSPHRASE: {credentials.passphrase}\r\nPOLY_TIMESTAMP: "
        )

    def __call__(self, request: Request) -> bytes:
        """Return head and body as they go on the wire.

        Raises VenueError if the request needs credentials that are not known, OrderError if its
        target is no target.
        """
        if request.auth is not Auth.L2:
            return self._plain(request)
        mac = self._mac
        if mac is None:
            raise VenueError(f"{request.method} {request.path} needs credentials first")
        head, signed = self._template(request)
        body = request.body
        timestamp = b"%d" % self._epoch_s()
        mac = mac.copy()
        mac.update(timestamp + signed + body)
        signature = binascii.b2a_base64(mac.digest(), newline=False).translate(_URL_SAFE)
        return b"%b%b\r\nPOLY_SIGNATURE: %b\r\nContent-Length: %d\r\n\r\n%b" % (
            head, timestamp, signature, len(body), body,
        )  # fmt: skip

    def order_head(self) -> tuple[bytes, bytes]:
        """Return an order's head up to the timestamp, and method and path as they are signed.

        VenueError before the credentials are known.
        """
        if self._mac is None:
            raise VenueError("orders need credentials first")
        return self._template(place_order(b"{}"))

    def _template(self, request: Request) -> tuple[bytes, bytes]:
        """Return the head up to the timestamp, and method and path as they are signed."""
        key = (request.method, request.target)
        found = self._templates.get(key)
        if found is None:
            found = (
                self._start(request) + self._proof.encode("ascii"),
                f"{request.method}{request.path}".encode("ascii"),
            )
            if request.method != "GET" and len(self._templates) < TEMPLATES_MAX:
                self._templates[key] = found
        return found

    def _start(self, request: Request) -> bytes:
        target = self._origin.prefix + request.target
        if not target.isascii() or not target.isprintable() or " " in target:
            raise OrderError(f"{target!r} is no target of a request")
        kind = "Content-Type: application/json\r\n" if request.body else ""
        return f"{request.method} {target} HTTP/1.1\r\n{self._common}{kind}".encode("ascii")

    def _plain(self, request: Request) -> bytes:
        lines = ""
        if request.auth is Auth.L1:
            proof = l1_headers(self._signer, self._epoch_s(), 0, self._chain_id)
            lines = "".join(f"{name}: {value}\r\n" for name, value in proof.items())
        length = f"Content-Length: {len(request.body)}\r\n" if request.method != "GET" else ""
        return self._start(request) + f"{lines}{length}\r\n".encode("ascii") + request.body
