"""A token bucket in integers: no drift, no clock of its own."""

from __future__ import annotations

from overround.clock import NS_PER_S

__all__ = ["TokenBucket"]


class TokenBucket:
    """``burst`` tokens at once, ``per_s`` more every second; a token is NS_PER_S parts."""

    __slots__ = ("_filled_ns", "_full", "_parts", "_per_s")

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._full = self._parts = burst * NS_PER_S
        self._filled_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """Take a token if there is one at this monotonic time."""
        if self._filled_ns is not None:
            gained = (now_ns - self._filled_ns) * self._per_s
            self._parts = min(self._full, self._parts + max(0, gained))
        self._filled_ns = now_ns
        if self._parts < NS_PER_S:
            return False
        self._parts -= NS_PER_S
        return True

    def there(self, now_ns: int) -> bool:
        """Return whether ``take`` would succeed now, and so at any later time; takes nothing."""
        if self._filled_ns is None:
            return self._parts >= NS_PER_S
        gained = max(0, now_ns - self._filled_ns) * self._per_s
        return min(self._full, self._parts + gained) >= NS_PER_S
