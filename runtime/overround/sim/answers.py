"""How the venue's HTTP answers look: compact JSON, the error object, pages with cursors."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from overround.sim.payload import plain_count

__all__ = [
    "END_CURSOR",
    "START_CURSOR",
    "Handler",
    "cursor_page",
    "error",
    "json_response",
    "page_cursor",
    "page_start",
]

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

START_CURSOR = "MA=="
"""Base64 of 0: the cursor of the first page."""

END_CURSOR = "LTE="
"""Base64 of -1: the cursor that means there is no further page."""


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return a compact JSON answer."""
    text = json.dumps(value, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def error(status: int, text: str) -> web.Response:
    """Return the venue's error object."""
    return json_response({"error": text}, status)


def page_start(cursor: str) -> int | None:
    """Return the offset a cursor names: 0 for none, None for the end; ValueError if it is bad."""
    if cursor in ("", START_CURSOR):
        return 0
    if cursor == END_CURSOR:
        return None
    try:
        start = plain_count(base64.b64decode(cursor, validate=True).decode("ascii"))
    except (binascii.Error, UnicodeDecodeError) as fault:
        raise ValueError(f"bad cursor {cursor!r}") from fault
    if start is None:
        raise ValueError(f"bad cursor {cursor!r}")
    return start


def page_cursor(start: int) -> str:
    """Return the cursor of the page that starts at an offset."""
    return base64.b64encode(str(start).encode()).decode()


def cursor_page(
    request: web.Request,
    items: Sequence[T],
    limit: int,
    make: Callable[[T], dict[str, Any]],
) -> web.Response:
    """Return the page that ``next_cursor`` asks for, its rows made of items by ``make``.

    The last page's cursor is ``LTE=``; clients ask until they see it.
    """
    try:
        start = page_start(request.query.get("next_cursor", ""))
    except ValueError:
        return error(400, "Invalid next_cursor")
    page = [] if start is None else items[start : start + limit]
    after = END_CURSOR
    if start is not None and start + limit < len(items):
        after = page_cursor(start + limit)
    return json_response(
        {
            "limit": limit,
            "count": len(page),
            "next_cursor": after,
            "data": [make(item) for item in page],
        }
    )
