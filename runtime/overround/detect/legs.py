"""The legs of a hit, read from the board: all usable right now, or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from overround.decide.intents import NO, YES
from overround.decide.strategy import SignalKind, SignalLeg
from overround.detect.relations import Relations
from overround.layout.board import BOARD
from overround.layout.change import is_sound
from overround.shm.broadcast import BroadcastReader
from overround.shm.segment import Segment
from overround.shm.slots import Slots
from overround.units import mirror_ticks

__all__ = ["LegLoader", "Loaded", "Shard"]


@dataclass(slots=True)
class Shard:
    """One ingress as its readers see it: the ring of changes and the board behind it.

    ``epoch`` is the one the private copy belongs to; books of any other are not usable.
    """

    number: int
    changes: BroadcastReader
    board: Slots
    region: Segment
    epoch: int = 0
    lost: int = 0
    laps: int = 0
    markets: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def is_usable(self, now_ns: int, lease_ns: int) -> bool:
        """Return whether the owner is the one we know, done setting up, and alive."""
        return self.region.epoch == self.epoch and self.region.usable(now_ns, lease_ns)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The legs of a set, and when the newest of their books was received."""

    legs: tuple[SignalLeg, ...]
    event_recv_ns: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the catalog says of a set's legs, as plain lists."""

    markets: list[int]
    shards: list[Shard]
    owners: list[Shard]
    min_size_lots: list[int]
    fee_rate_ppm: list[int]
    fee_exponent: list[int]


class LegLoader:
    """Loads the slots of one set at a time into a buffer of its own."""

    def __init__(self, shards: Mapping[int, Shard], trust_lease_ns: int) -> None:
        self._shards = shards
        self._lease_ns = trust_lease_ns
        self._facts: list[_Facts | None] = []

    def relate(self, relations: Relations, markets: np.ndarray) -> None:
        """Serve these relations from now on; ``markets`` are the catalog's records."""
        self._facts = [
            self._gather(relations.legs(index), markets) for index in range(relations.count)
        ]
        longest = max((len(facts.markets) for facts in self._facts if facts), default=0)
        self._slots = np.zeros(longest, BOARD)
        self._rooms = [self._slots[at : at + 1] for at in range(longest)]

    def _gather(self, legs: list[int], markets: np.ndarray) -> _Facts | None:
        rows = markets[legs]
        numbers: list[int] = rows["shard"].tolist()
        if any(number not in self._shards for number in numbers):
            return None
        return _Facts(
            markets=legs,
            shards=[self._shards[number] for number in numbers],
            owners=[self._shards[number] for number in sorted(set(numbers))],
            min_size_lots=rows["min_size_lots"].tolist(),
            fee_rate_ppm=rows["fee_rate_ppm"].tolist(),
            fee_exponent=rows["fee_exponent"].tolist(),
        )

    def load(self, index: int, kind: SignalKind, now_ns: int) -> Loaded | None:
        """Return the legs of a set as its slots stand; None unless every book is usable.

        Usable: trusted, neither crossed nor resolved, with size on the side asked for, in a
        region whose epoch is even, the one we know and still that after the last load, and
        whose owner beat within the lease.
        """
        facts = self._facts[index]
        if facts is None:
            return None
        if not all(owner.is_usable(now_ns, self._lease_ns) for owner in facts.owners):
            return None
        for market, shard, room in zip(facts.markets, facts.shards, self._rooms, strict=False):
            if not shard.board.load_into(market, room):
                return None
        if any(owner.region.epoch != owner.epoch for owner in facts.owners):
            return None
        return self._legs(facts, kind)

    def _legs(self, facts: _Facts, kind: SignalKind) -> Loaded | None:
        """Build the legs from the loaded slots, column by column: a tenth of by field."""
        slots = self._slots[: len(facts.markets)]
        if slots["market"].tolist() != facts.markets:
            return None
        if not all(map(is_sound, slots["flags"].tolist())):
            return None
        buying = kind == SignalKind.BUY_ALL
        bids: list[int] = slots["bid_ticks"][:, 0].tolist()
        asks: list[int] = slots["ask_ticks"][:, 0].tolist()
        lots: list[int] = slots["ask_lots" if buying else "bid_lots"][:, 0].tolist()
        if min(lots) <= 0 or any(0 < ask <= bid for bid, ask in zip(bids, asks, strict=True)):
            return None
        sequences = slots["sequence"].tolist()
        outcome = YES if buying else NO
        legs = tuple(
            SignalLeg(
                market=market,
                outcome=outcome,
                price_ticks=asks[at] if buying else mirror_ticks(bids[at]),
                size_lots=lots[at],
                min_size_lots=facts.min_size_lots[at],
                fee_rate_ppm=facts.fee_rate_ppm[at],
                fee_exponent=facts.fee_exponent[at],
                board_sequence=sequences[at],
                ingress_epoch=facts.shards[at].epoch,
            )
            for at, market in enumerate(facts.markets)
        )
        return Loaded(legs, max(slots["recv_ns"].tolist()))
