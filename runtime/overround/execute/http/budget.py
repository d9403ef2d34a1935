"""How many orders and cancels a second the venue lets one signer send, kept on our side.

The venue counts an order as one, a cancelled id as one, cancel-all as one and one more for each
order it finds. Cancels have a bucket of their own, whose last tokens only cancel-all may take.
"""

from __future__ import annotations

from overround.clock import NS_PER_S

__all__ = ["TokenBucket"]


class TokenBucket:
    """Tokens that come back at a steady rate; a reservation may have to wait for its own."""

    __slots__ = ("_burst", "_rate", "_stamp_ns", "_tokens")

    def __init__(self, per_s: int, burst: int, now_ns: int) -> None:
        self._rate = per_s
        self._burst = burst * NS_PER_S  # in 1e-9 of a token: integers, and nothing is lost
        self._tokens = self._burst
        self._stamp_ns = now_ns

    def wait_ns(self, cost: int, now_ns: int, *, keep: int = 0) -> int:
        """Return how long (ns) until ``cost`` tokens are there and ``keep`` are left."""
        self._refill(now_ns)
        # More than a full bucket is never there at once: a full one has to do.
        wanted = min((cost + keep) * NS_PER_S, self._burst)
        return max(0, -(-(wanted - self._tokens) // self._rate))

    def take(self, cost: int, now_ns: int) -> bool:
        """Take tokens if they are there now; as ``wait_ns`` of 0 and ``spend``, in one go."""
        wanted, tokens = cost * NS_PER_S, self._tokens
        if now_ns > self._stamp_ns:
            tokens += (now_ns - self._stamp_ns) * self._rate
        self._stamp_ns = now_ns
        burst = self._burst
        tokens, wanted = min(tokens, burst), min(wanted, burst)
        self._tokens = tokens - wanted if tokens >= wanted else tokens
        return tokens >= wanted

    def spend(self, cost: int, now_ns: int) -> None:
        """Take tokens, those to come included, so that who asks later waits longer."""
        self._refill(now_ns)
        self._tokens -= min(cost * NS_PER_S, self._burst)

    def give_back(self, cost: int) -> None:
        """Return tokens that were not used."""
        self._tokens = min(self._burst, self._tokens + cost * NS_PER_S)

    def tokens(self, now_ns: int) -> int:
        """Return whole tokens left; negative while promised ones are still to come."""
        self._refill(now_ns)
        return self._tokens // NS_PER_S

    def _refill(self, now_ns: int) -> None:
        elapsed_ns = max(0, now_ns - self._stamp_ns)
        self._stamp_ns = now_ns
        self._tokens = min(self._burst, self._tokens + elapsed_ns * self._rate)
