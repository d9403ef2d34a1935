"""Relations between markets, compiled from catalog records to flat arrays.

Today: exhaustive sets (every outcome of a complete neg-risk event, of which exactly one pays)
and, for every active market, its own mirror. A set is compiled only if nothing about it has to
be guessed: a set that may still grow, lacks a market or a fee, or has a closed leg is left out
and counted by reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from overround.layout.catalog import SET_NONE, MarketStatus

__all__ = ["Relations", "Skipped", "compile_relations"]

LEGS_MAX = 900
"""Above this many legs a set's sum could leave 64 bits (see the kernel)."""


class Skipped(StrEnum):
    """Why a set of the catalog is not compiled."""

    OPEN_ENDED = "outcomes may still be added"
    MISSING = "a market of the set is not in the catalog, or stands in it twice"
    INACTIVE = "a market of the set does not trade"
    NO_FEE = "a market's fee is unknown"
    NOT_NEG_RISK = "the outcomes are not settled as one set"
    SIZE = "fewer than two outcomes, or too many"


@dataclass(frozen=True, slots=True)
class Relations:
    """Sets in compressed rows, both ways; a row's index is dense and ours, ``set_ids`` venue's.

    ``members[offsets[i]:offsets[i + 1]]`` are the markets of set i in their position's order,
    ``market_sets[market_offsets[m]:market_offsets[m + 1]]`` the sets of market m.
    ``filter_rate_ppm`` is a market's fee rate where the fee is rate * p * (1 - p), else 0: the
    kernels' edge is then never below the true one.
    """

    set_ids: tuple[int, ...]
    offsets: np.ndarray
    members: np.ndarray
    min_lots: np.ndarray
    market_offsets: np.ndarray
    market_sets: np.ndarray
    filter_rate_ppm: np.ndarray
    skipped: dict[Skipped, int]

    @property
    def count(self) -> int:
        """Number of sets."""
        return len(self.set_ids)

    def legs(self, index: int) -> list[int]:
        """Return the markets of one set."""
        first, last = int(self.offsets[index]), int(self.offsets[index + 1])
        return [int(market) for market in self.members[first:last]]


def _judge(rows: np.ndarray) -> Skipped | None:
    """Return why these records of one set may not be traded as a complete set, or None."""
    size = int(rows["set_size"][0])
    if not 2 <= size <= LEGS_MAX:
        return Skipped.SIZE
    if not rows["set_complete"].all():
        return Skipped.OPEN_ENDED
    positions = sorted(int(position) for position in rows["set_position"])
    if positions != list(range(size)) or (rows["set_size"] != size).any():
        return Skipped.MISSING
    if (rows["status"] != MarketStatus.ACTIVE).any():
        return Skipped.INACTIVE
    if not rows["neg_risk"].all() or (rows["venue"] != rows["venue"][0]).any():
        return Skipped.NOT_NEG_RISK
    if not rows["fee_known"].all():
        return Skipped.NO_FEE
    return None


def _rows(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(len(lists) + 1, np.int32)
    offsets[1:] = np.cumsum([len(row) for row in lists], dtype=np.int32)
    return offsets, np.array([item for row in lists for item in row], np.int32)


def compile_relations(catalog: np.ndarray, capacity: int) -> Relations:
    """Return the relations of catalog records, whose position is the market's index.

    ``capacity`` is the number of markets the arrays have room for, at least ``len(catalog)``.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for market, set_id in enumerate(catalog["set_index"].tolist()):
        if set_id != SET_NONE:
            groups[set_id].append(market)
    kept: dict[int, list[int]] = {}
    skipped: Counter[Skipped] = Counter()
    for set_id, markets in sorted(groups.items()):
        reason = _judge(catalog[markets])
        if reason is None:
            kept[set_id] = sorted(markets, key=lambda m: int(catalog["set_position"][m]))
        else:
            skipped[reason] += 1
    links: list[list[int]] = [[] for _ in range(capacity)]
    for index, markets in enumerate(kept.values()):
        for market in markets:
            links[market].append(index)
    offsets, members = _rows(list(kept.values()))
    market_offsets, market_sets = _rows(links)
    minima = [int(catalog["min_size_lots"][markets].max()) for markets in kept.values()]
    rate = np.zeros(capacity, np.int64)
    plain = catalog["fee_exponent"] == 1
    rate[: len(catalog)] = np.where(plain, catalog["fee_rate_ppm"], 0)
    return Relations(
        set_ids=tuple(kept),
        offsets=offsets,
        members=members,
        min_lots=np.array(minima, np.int64),
        market_offsets=market_offsets,
        market_sets=market_sets,
        filter_rate_ppm=rate,
        skipped=dict(skipped),
    )
