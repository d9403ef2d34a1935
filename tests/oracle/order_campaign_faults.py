"""Which switches the campaign turns, how hard, and which of them have hit an order.

The switches are dealt from a shuffled deck: each is turned before any is turned again, so that
even a short run meets every kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any, Final

from overround.sim.faults import BY_NAME, SWITCHES

NOT_AN_ORDERS: Final = frozenset({"book-stale", "book-hollow", "books-short", "post-only-after"})
"""Switches of these areas that never touch the path of an order."""

AREAS: Final = ("user", "http", "orders")

VALUES: Final[dict[str, tuple[float, float]]] = {
    "answer-slow": (150, 2_200),
    "request-slow": (50, 500),
    "close-after": (1, 6),
    "events-late": (100, 900),
    "settle-late": (100, 900),
    "clock-ahead": (50, 450),
    "restart": (0.05, 0.25),
    "post-only": (0.1, 0.3),
}
"""Least and most of what is measured. The executor's deadline lies inside ``answer-slow``."""

TIMES: Final = (2, 6)
PAUSES: Final = frozenset({"too-many", "key-refused"})
"""One is enough: the executor pauses its orders for a second or until it has logged in."""
LASTS_S: Final = (0.4, 1.5)
REFUSES_S: Final = (0.05, 0.3)
"""How long a switch is on under which nothing at all is taken."""
REFUSES: Final = frozenset({"trading-disabled", "cancel-only"})
POST_ONLY_AFTER_S: Final = 0.2
"""What follows a restart; two minutes at the venue."""

ON_PATH: Final = tuple(
    switch.name for switch in SWITCHES if switch.area in AREAS and switch.name not in NOT_AN_ORDERS
)


class Deck:
    """Deals turns of the switches on the order path, in an order that the seed repeats."""

    def __init__(self, random: Random, names: Iterable[str] = ON_PATH) -> None:
        self._random = random
        self._names = tuple(names)
        self._left: list[str] = []

    def deal(self) -> dict[str, Any]:
        """The next turn, as the body of ``/sim/faults``."""
        if not self._left:
            self._left = list(self._names)
            self._random.shuffle(self._left)
        name = self._left.pop()
        lasts_s = round(self._random.uniform(*(REFUSES_S if name in REFUSES else LASTS_S)), 3)
        return {"switch": name, "value": self._value(name), "for_s": lasts_s}

    def _value(self, name: str) -> float:
        unit = BY_NAME[name].unit
        if name in VALUES:
            low, high = VALUES[name]
            value = self._random.uniform(low, high)
            return round(value) if unit in ("ms", "requests") else round(value, 3)
        if name in PAUSES:
            return 1
        return self._random.randint(*TIMES) if unit == "times" else 1
