"""The switches that make the exchange misbehave in ways the venue has been seen to.

Each HTTP fault applies to paths that start with its ``path`` and is used up after ``count``
requests. Market-channel faults (silence, dropped deltas) live with the channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Faults", "HttpFault"]


@dataclass(slots=True)
class HttpFault:
    """One kind of trouble for the next ``count`` requests under ``path``.

    ``delay_ms`` holds the answer back after the work is done; ``before_ms`` holds the request
    back before. ``lose`` closes the connection instead of answering, after the work is done.
    ``status`` answers at once with that code and ``text``, without doing the work.
    """

    path: str = "/order"
    count: int = 1
    method: str = ""
    before_ms: int = 0
    delay_ms: int = 0
    lose: bool = False
    status: int = 0
    text: str = ""


@dataclass(slots=True)
class Faults:
    """Everything that is switched on."""

    http: list[HttpFault] = field(default_factory=list)
    fail_trades: int = 0
    """Trades that will go RETRYING and then FAILED instead of CONFIRMED."""
    stale_books: dict[str, str] | None = None
    """Answers of ``/book`` and ``/books`` by token, as of when they were frozen; None: live."""
    refuse_sockets: bool = False
    """Answer 503 to WebSocket upgrades."""

    def take_http(self, method: str, path: str) -> HttpFault | None:
        """Return the first fault that fits a request and use it up by one."""
        for fault in self.http:
            if path.startswith(fault.path) and fault.method in ("", method):
                fault.count -= 1
                if fault.count <= 0:
                    self.http.remove(fault)
                return fault
        return None
