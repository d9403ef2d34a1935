"""The venue's rate limits: requests by address in sliding windows, orders by signer in buckets.

Off by default. In "warn" every request is served and says what enforcement would have done; in
"enforce" a request over a limit gets 429 and costs nothing. No clock here: time is passed in.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from overround.clock import NS_PER_S

__all__ = ["MODES", "TIERS", "Bucket", "Limits", "Verdict"]

MODES = ("off", "warn", "enforce")

TIERS: dict[str, tuple[int, int]] = {
    "standard": (40, 60),
    "copper": (60, 90),
    "bronze": (80, 120),
    "silver": (200, 300),
    "gold": (400, 600),
    "platinum": (450, 675),
    "diamond": (525, 787),
    "elite": (600, 900),
}
"""Orders a second and burst of each tier; cancels get twice both."""

CANCELS_PER_ORDER = 2

WINDOW_NS = 10 * NS_PER_S
LONG_WINDOW_NS = 600 * NS_PER_S


class Rule(NamedTuple):
    """``most`` requests of a method ("" for any) under some paths in a sliding window."""

    name: str
    method: str
    paths: tuple[str, ...]
    most: int
    window_ns: int = WINDOW_NS

    def fits(self, method: str, path: str) -> bool:
        """Return whether a request counts here; a path ending in / stands for all below it."""
        return self.method in ("", method) and any(
            path == known or (known.endswith("/") and path.startswith(known))
            for known in self.paths
        )


RULES = (
    Rule("everything", "", ("/",), 15_000),
    Rule("book", "GET", ("/book",), 1_500),
    Rule("price", "GET", ("/price",), 1_500),
    Rule("midpoint", "GET", ("/midpoint",), 1_500),
    Rule("books", "", ("/books",), 500),
    Rule("prices", "", ("/prices",), 500),
    Rule("midpoints", "", ("/midpoints",), 500),
    Rule("prices-history", "", ("/prices-history", "/batch-prices-history"), 1_000),
    Rule("tick-size", "GET", ("/tick-size", "/tick-size/"), 200),
    Rule("ledger", "GET",
         ("/data/orders", "/data/trades", "/notifications", "/order/", "/data/order/"), 900),
    Rule("orders", "GET", ("/data/orders",), 500),
    Rule("trades", "GET", ("/data/trades",), 500),
    Rule("notifications", "", ("/notifications",), 125),
    Rule("balance", "GET", ("/balance-allowance",), 200),
    Rule("balance update", "", ("/balance-allowance/update",), 50),
    Rule("keys", "", ("/auth/",), 100),
    Rule("post order", "POST", ("/order",), 5_000),
    Rule("post order, long", "POST", ("/order",), 120_000, LONG_WINDOW_NS),
    Rule("delete order", "DELETE", ("/order",), 5_000),
    Rule("delete order, long", "DELETE", ("/order",), 120_000, LONG_WINDOW_NS),
    Rule("post orders", "POST", ("/orders",), 2_000),
    Rule("post orders, long", "POST", ("/orders",), 21_000, LONG_WINDOW_NS),
    Rule("delete orders", "DELETE", ("/orders",), 2_000),
    Rule("delete orders, long", "DELETE", ("/orders",), 15_000, LONG_WINDOW_NS),
    Rule("cancel-all", "DELETE", ("/cancel-all",), 250),
    Rule("cancel-all, long", "DELETE", ("/cancel-all",), 6_000, LONG_WINDOW_NS),
    Rule("cancel-market", "DELETE", ("/cancel-market-orders",), 1_500),
    Rule("cancel-market, long", "DELETE", ("/cancel-market-orders",), 21_000, LONG_WINDOW_NS),
    Rule("gamma", "", ("/gamma/",), 4_000),
    Rule("events", "GET", ("/gamma/events", "/gamma/events/"), 500),
    Rule("markets", "GET", ("/gamma/markets", "/gamma/markets/"), 300),
    Rule("events and markets", "GET",
         ("/gamma/events", "/gamma/events/", "/gamma/markets", "/gamma/markets/"), 900),
    Rule("search", "GET", ("/gamma/public-search",), 350),
    Rule("tags", "GET", ("/gamma/tags", "/gamma/tags/", "/gamma/comments"), 200),
    Rule("data", "GET", ("/data-api/",), 1_000),
    Rule("data trades", "GET", ("/data-api/trades",), 200),
    Rule("data positions", "GET", ("/data-api/positions", "/data-api/closed-positions"), 150),
    Rule("data v2", "GET", ("/data-api/v2/",), 800),
    Rule("data v2 trades", "GET", ("/data-api/v2/trades",), 300),
    Rule("data v2 positions", "GET", ("/data-api/v2/positions",), 200),
)  # fmt: skip
"""Requests of one address; "everything" is checked with every request."""


@dataclass(slots=True)
class Bucket:
    """Tokens that come back at ``rate`` a second up to ``burst``."""

    rate: float
    burst: float
    tokens: float
    stamp_ns: int

    def refill(self, now_ns: int) -> None:
        """Add what has come back since the last look."""
        gained = (now_ns - self.stamp_ns) * self.rate / NS_PER_S
        self.tokens = min(self.burst, self.tokens + gained)
        self.stamp_ns = now_ns

    def wait_s(self, cost: float) -> float:
        """Return the seconds until ``cost`` tokens are there; a larger cost than the burst
        waits for a full bucket."""
        return max(0.0, min(cost, self.burst) - self.tokens) / self.rate


class Verdict(NamedTuple):
    """Whether a request may pass, seconds to wait if not, and the headers of its answer."""

    passes: bool
    retry_s: int
    headers: dict[str, str]


FREE = Verdict(True, 0, {})


@dataclass(slots=True)
class Limits:
    """Every address's windows and every signer's two buckets."""

    mode: str = "off"
    tier: str = "standard"
    """Tier of every signer that has none of its own."""
    tiers: dict[str, str] = field(default_factory=dict)
    """Tier by signer's address in lower case."""
    refused: int = 0
    """Requests that were over a limit, served (warn) or not (enforce)."""
    _windows: dict[tuple[str, str], deque[int]] = field(default_factory=dict)
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def set_mode(self, mode: str, tier: str = "", signer: str = "") -> None:
        """Change the mode, and the tier of one signer or of all; buckets start full again.

        ValueError for an unknown mode or tier.
        """
        if mode not in MODES:
            raise ValueError(f"limits are one of {', '.join(MODES)}, not {mode!r}")
        if tier and tier not in TIERS:
            raise ValueError(f"a tier is one of {', '.join(TIERS)}, not {tier!r}")
        self.mode = mode
        if signer:
            self.tiers[signer.lower()] = tier or self.tier
        elif tier:
            self.tier = tier
        self._windows.clear()
        self._buckets.clear()

    def tier_of(self, signer: str) -> str:
        """Return the tier of a signer's address."""
        return self.tiers.get(signer.lower(), self.tier)

    def judge(
        self, method: str, path: str, peer: str, signer: str, cost: int, now_ns: int
    ) -> Verdict:
        """Judge a request of ``cost`` orders (POST) or cancels (DELETE); it is counted if it
        passes. ``signer`` is "" for a request without a valid API key."""
        if self.mode == "off":
            return FREE
        wait_s, windows = self._address_wait(method, path, peer, now_ns)
        headers: dict[str, str] = {}
        bucket = None
        if cost and signer:
            bucket = self._bucket(signer.lower(), "cancel" if method == "DELETE" else "order")
            bucket.refill(now_ns)
            wait_s = max(wait_s, bucket.wait_s(cost))
        over = wait_s > 0
        self.refused += over
        passes = not over or self.mode == "warn"
        if passes:
            for window in windows:
                window.append(now_ns)
        if bucket is not None:
            if passes:
                bucket.tokens -= min(cost, bucket.tokens) if over else cost
            headers["Poly-RateLimit-Remaining"] = str(math.floor(bucket.tokens))
            headers["Poly-RateLimit-Tier"] = self.tier_of(signer)
            if over and passes:
                headers["Poly-RateLimit-Warning"] = "true"
        return Verdict(passes, max(1, math.ceil(wait_s)) if over else 0, headers)

    def _address_wait(
        self, method: str, path: str, peer: str, now_ns: int
    ) -> tuple[float, list[deque[int]]]:
        """Return the seconds to wait for the windows of an address, and those windows."""
        wait_ns, windows = 0, []
        for rule in RULES:
            if not rule.fits(method, path):
                continue
            window = self._windows.setdefault((peer, rule.name), deque())
            while window and window[0] <= now_ns - rule.window_ns:
                window.popleft()
            if len(window) >= rule.most:
                wait_ns = max(wait_ns, window[0] + rule.window_ns - now_ns)
            windows.append(window)
        return wait_ns / NS_PER_S, windows

    def _bucket(self, signer: str, kind: str) -> Bucket:
        bucket = self._buckets.get((signer, kind))
        if bucket is None:
            rate, burst = TIERS[self.tier_of(signer)]
            factor = CANCELS_PER_ORDER if kind == "cancel" else 1
            # The stamp 0 lies in the past of every clock: the first refill fills the bucket.
            bucket = Bucket(rate * factor, burst * factor, 0, 0)
            bucket.tokens = bucket.burst
            self._buckets[signer, kind] = bucket
        return bucket
