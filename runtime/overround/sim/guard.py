"""The outer wall of the exchange: hostile requests get an error object, and never a 500.

What a client can do wrong is answered in JSON like every refusal. What nobody foresaw is counted,
logged, and answered with 500; ``server_errors`` in ``/sim/state`` must therefore stay 0.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

__all__ = ["BODY_SECONDS", "IDLE_SECONDS", "Guard"]

IDLE_SECONDS = 75.0
"""A connection without a whole request for this long is closed (slow-loris headers too)."""

BODY_SECONDS = 20.0
"""A request body must be complete this long after its headers."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Expected(logging.Filter):
    """Keeps unreadable HTTP, a client's fault, out of the log of errors; counts it instead."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._guard.bad_http += 1
            return False
        return True


class Guard:
    """Counts and answers what the handlers let through."""

    def __init__(self, body_seconds: float = BODY_SECONDS) -> None:
        self.server_errors = 0
        """Exceptions nobody foresaw, in requests, sockets and timers."""
        self.bad_http = 0
        """Requests that were no HTTP."""
        self.logger = logging.getLogger("overround.sim.http")
        for old in list(self.logger.filters):
            self.logger.removeFilter(old)
        self.logger.addFilter(_Expected(self))
        self._body_seconds = body_seconds

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count what timers and transports of a loop raise."""
        loop.set_exception_handler(self._on_loop_error)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), (ConnectionError, TimeoutError)):
            self.server_errors += 1
        loop.default_exception_handler(context)

    def middleware(self) -> Any:
        """Return the outermost middleware of the application."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                if request.can_read_body:
                    async with asyncio.timeout(self._body_seconds):
                        await request.read()
                return await handler(request)
            except web.HTTPException as refused:
                if refused.status < 400:
                    raise
                return _error(refused.status, refused.reason)
            except TimeoutError:
                return _error(408, "Request Timeout")
            except (RequestPayloadError, HttpProcessingError):
                return _error(400, "Invalid payload")
            except ConnectionError:
                raise
            except Exception:
                return self._unforeseen(request)

        return guarded

    def _unforeseen(self, request: web.Request) -> web.StreamResponse:
        self.server_errors += 1
        self.logger.exception("unforeseen error in %s %s", request.method, request.path)
        if request.path.startswith("/ws/") and request.transport is not None:
            request.transport.abort()
            raise ConnectionResetError from None
        return _error(500, "internal error")


def _error(status: int, text: str) -> web.Response:
    response = web.Response(
        text=json.dumps({"error": text}, separators=(",", ":")),
        status=status,
        content_type="application/json",
    )
    if status in (408, 413):
        response.force_close()
    return response
