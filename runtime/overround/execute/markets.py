"""What the executor may know of a market: its catalog row and its book, read when needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np

from overround._native import ffi, lib
from overround.decide.risk import BookView, MarketView
from overround.layout.catalog import SET_NONE, MarketStatus
from overround.layout.change import is_sound
from overround.ledger.records import MarketNote
from overround.shm.segment import Segment
from overround.shm.slots import Slots

__all__ = ["MarketInfo", "Markets", "SharedMarkets"]

TAKING_BUY_MIN_MICRO: Final = 1_000_000
"""The venue refuses purchases that trade at once and are worth less than one unit."""
_V3_ZERO_BITS: Final = ((1 << 64) - 1) << 40
_unpack = ffi.unpack
NO_BOOK: Final = BookView(False, False, 0, 0, 10_000, 0, 0)


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """One market as the catalog has it. ``set_members`` is empty unless the set is complete."""

    index: int
    condition_id: str
    token_yes: str
    token_no: str
    active: bool
    tick_ticks: int
    min_size_lots: int
    neg_risk: bool
    fee_known: bool
    fee_rate_ppm: int
    fee_exponent: int
    set_members: tuple[str, ...] = ()

    def token(self, outcome: int) -> str:
        """Return the token id of outcome 0 (YES) or 1 (NO)."""
        return self.token_no if outcome else self.token_yes

    @property
    def protocol(self) -> int:
        """Exchange version that settles it: 3 where the token id has the newer form, else 2."""
        return _protocol(self.token_yes)

    def view(self, tick_ticks: int = 0) -> MarketView:
        """Return what the gate needs; the live book's tick wins over the catalog's."""
        return MarketView(
            active=self.active,
            tick_ticks=tick_ticks or self.tick_ticks,
            min_size_lots=self.min_size_lots,
            fee_known=self.fee_known,
            taking_buy_min_micro=TAKING_BUY_MIN_MICRO,
        )

    def note(self) -> MarketNote:
        """Return what the journal must know before the first order here."""
        return MarketNote(
            self.condition_id,
            self.token_yes,
            self.token_no,
            self.set_members,
            self.fee_rate_ppm,
            self.fee_exponent,
        )


class Markets(Protocol):
    """Where markets and books come from."""

    def info(self, index: int) -> MarketInfo | None:
        """Return a market by its index of this run."""

    def find(self, token: str) -> tuple[MarketInfo, int] | None:
        """Return the market and outcome of a token."""

    def book(self, index: int, now_ns: int) -> tuple[BookView, int]:
        """Return the book's top and its tick in 1/10,000 (0 where unknown)."""

    def tokens(self) -> Iterable[str]:
        """Return the tokens of every market, in the catalog's order."""


class SharedMarkets:
    """Markets of the shared catalog, books of the shared boards (one a shard)."""

    def __init__(
        self, catalog: Slots, boards: dict[int, tuple[Segment, Slots]], lease_ns: int
    ) -> None:
        self._catalog = catalog
        self._boards = boards
        self._lease_ns = lease_ns
        self._infos: list[MarketInfo | None] = []
        self._shards: list[int] = []
        self._tokens: dict[str, tuple[int, int]] = {}
        self._sets: dict[int, tuple[str, ...]] = {}
        self._rows = np.zeros((0, 0), np.uint8)
        """The catalog's bytes as they were read last, a row a market."""
        self._row = ffi.new("struct ovr_board *")
        self._epoch = ffi.new("uint64_t *")

    def refresh(self) -> int:
        """Read the catalog anew (it grows, and rows change); return its size. Not per order.

        Only rows that differ are looked at: thousands of them would stop the loop.
        """
        table = self._catalog.load_all()
        rows = np.ascontiguousarray(table).view(np.uint8).reshape(len(table), -1)
        known = len(self._rows)
        differs = np.ones(len(table), np.bool_)
        if known:
            differs[:known] = (rows[:known] != self._rows).any(axis=1)
        self._rows = rows
        if (table["set_index"][differs] != SET_NONE).any():
            differs |= self._read_sets(table)
        grown = len(table) - len(self._infos)
        self._infos += [None] * grown
        self._shards += [0] * grown
        for index in np.flatnonzero(differs).tolist():
            self._shards[index] = int(table[index]["shard"])
            info = self._infos[index] = self._info(index, table[index])
            if info is not None:
                self._tokens[info.token_yes] = (index, 0)
                self._tokens[info.token_no] = (index, 1)
        return len(table)

    def _read_sets(self, table: Any) -> Any:
        """Read all complete sets; return a mask of the rows whose set is another one now."""
        members: dict[int, list[tuple[int, str]]] = {}
        complete: dict[int, int] = {}
        for row in table[(table["set_index"] != SET_NONE) & (table["set_complete"] != 0)]:
            place = (int(row["set_position"]), _text(row["condition_id"]))
            members.setdefault(int(row["set_index"]), []).append(place)
            complete[int(row["set_index"])] = int(row["set_size"])
        before, self._sets = self._sets, {
            index: tuple(condition for _, condition in sorted(found))
            for index, found in members.items()
            if len(found) == complete[index]
        }  # fmt: skip
        every = before.keys() | self._sets.keys()
        moved = [one for one in every if before.get(one) != self._sets.get(one)]
        return np.isin(table["set_index"], moved)

    def _info(self, index: int, row: Any) -> MarketInfo | None:
        if not row["token_yes"]:  # a torn row, read again at the next refresh
            return None
        return MarketInfo(
            index=index,
            condition_id=_text(row["condition_id"]),
            token_yes=_text(row["token_yes"]),
            token_no=_text(row["token_no"]),
            active=int(row["status"]) == MarketStatus.ACTIVE,
            tick_ticks=int(row["tick_ticks"]),
            min_size_lots=int(row["min_size_lots"]),
            neg_risk=bool(row["neg_risk"]),
            fee_known=bool(row["fee_known"]),
            fee_rate_ppm=int(row["fee_rate_ppm"]),
            fee_exponent=int(row["fee_exponent"]),
            set_members=self._sets.get(int(row["set_index"]), ()),
        )

    def info(self, index: int) -> MarketInfo | None:
        """Return a market by its index; looks at the catalog again if it has grown."""
        if index >= len(self._infos) and self._catalog.count > len(self._infos):
            self.refresh()
        return self._infos[index] if index < len(self._infos) else None

    def find(self, token: str) -> tuple[MarketInfo, int] | None:
        """Return the market and outcome of a token; looks at the catalog again if it grew."""
        if token not in self._tokens and self._catalog.count > len(self._infos):
            self.refresh()
        found = self._tokens.get(token)
        if found is None:
            return None
        info = self.info(found[0])
        return None if info is None else (info, found[1])

    def tokens(self) -> Iterable[str]:
        """Return the tokens of every market, in the catalog's order."""
        return tuple(self._tokens)

    def book(self, index: int, now_ns: int) -> tuple[BookView, int]:
        """Return the book's top and tick; unusable where owner, epoch or slot are in doubt."""
        board = self._boards.get(self._shards[index]) if index < len(self._shards) else None
        row, epoch = self._row, self._epoch
        if board is None or lib.ovr_slot_load_live(
            board[0].pointer, index, now_ns, self._lease_ns, row, epoch
        ):
            return NO_BOOK, 0
        return self.view(row, epoch[0])

    def place(self, index: int) -> tuple[Any, int] | None:
        """Return the region that shows a market's book, and how old its beat may be (ns)."""
        board = self._boards.get(self._shards[index]) if index < len(self._shards) else None
        return None if board is None else (board[0].pointer, self._lease_ns)

    def view(self, row: Any, epoch: int) -> tuple[BookView, int]:
        """Return the book and tick of a board's row that was read under this epoch."""
        bids = _side(row.bid_ticks, row.bid_lots, row.bid_levels)
        asks = _side(row.ask_ticks, row.ask_lots, row.ask_levels)
        bid_ticks, bid_lots = bids[0] if bids else (0, 0)
        ask_ticks, ask_lots = asks[0] if asks else (10_000, 0)
        sound = is_sound(row.flags)
        book = BookView(True, sound, epoch, bid_ticks, ask_ticks, bid_lots, ask_lots, bids, asks)
        return book, row.tick_ticks


@lru_cache(maxsize=4096)
def _protocol(token_yes: str) -> int:
    token = int(token_yes)
    newer = token & _V3_ZERO_BITS == 0 and 1 <= token >> 248 <= 3
    return 3 if newer else 2


def _text(value: bytes) -> str:
    return bytes(value).rstrip(b"\0").decode("ascii")


def _side(ticks: Any, lots: Any, levels: int) -> tuple[tuple[int, int], ...]:
    # A market may have more levels than a slot shows; what lies beyond is not counted on.
    return tuple(zip(_unpack(ticks, levels), _unpack(lots, levels), strict=True))
