"""HTTP to the venue: one attempt, a deadline, warm connections, and an honest failure.

Two failures are told apart because they mean opposite things for an order: ``NotSent`` (no
connection, so no byte left) and ``NoAnswer`` (bytes may have arrived). Nothing is repeated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
from yarl import URL

from overround.errors import OverroundError, VenueError
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers, l2_headers
from overround.venues.polymarket.rest import Auth, Request

__all__ = ["NoAnswer", "NotSent", "Response", "VenueClient"]

CONNECTIONS_MAX: Final = 16
KEEP_ALIVE_S: Final = 15.0
"""Below the idle limit of usual servers: a connection they are about to close is not used."""


class NotSent(OverroundError):
    """No connection could be made: nothing left this machine."""


class NoAnswer(OverroundError):
    """Bytes may have left and no whole answer came: the outcome is unknown."""


class Response(NamedTuple):
    """Status, body, and the Retry-After header ("" without one)."""

    status: int
    body: bytes
    retry_after: str


class VenueClient:
    """Connections to one venue with one account's proofs. Use as an async context."""

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        *,
        chain_id: int,
        timeout_ms: int,
        epoch_s: Callable[[], int],
    ) -> None:
        self._base = base_url.rstrip("/")
        self._signer = signer
        self._chain_id = chain_id
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1_000)
        self._epoch_s = epoch_s
        self._session: aiohttp.ClientSession | None = None
        self.credentials: Credentials | None = None
        """Set once they are known; requests that need them raise before."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Content-Type",),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session, for the user socket."""
        assert self._session is not None, "client is not open"
        return self._session

    def _headers(self, request: Request) -> dict[str, str]:
        headers: dict[str, str] = {}
        if request.auth is Auth.L1:
            headers = l1_headers(self._signer, self._epoch_s(), 0, self._chain_id)
        elif request.auth is Auth.L2:
            if self.credentials is None:
                raise VenueError(f"{request.method} {request.path} needs credentials first")
            headers = l2_headers(
                self.credentials,
                self._signer.address,
                self._epoch_s(),
                request.method,
                request.path,
                request.body,
            )
        if request.body:
            headers["Content-Type"] = "application/json"
        return headers

    async def call(self, request: Request) -> Response:
        """Return the answer to one request. Raises NotSent or NoAnswer, never repeats."""
        url = URL(self._base + request.target, encoded=True)
        try:
            async with self.session.request(
                request.method,
                url,
                data=request.body or None,
                headers=self._headers(request),
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
                return Response(answer.status, body, answer.headers.get("Retry-After", ""))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"{request.method} {request.path}: no connection: {error}") from error
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:  # noqa: UP041
            what = type(error).__name__
            raise NoAnswer(f"{request.method} {request.path}: {what} {error}") from error
