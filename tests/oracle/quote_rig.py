"""Quoting for real: executor and exchange are processes; the test is strategy and takers."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from oracle.audit import audit
from oracle.executor_rig import SHARE, Rig
from oracle.order_campaign_desk import Desk, Place, Trader
from overround.clock import monotonic_ns
from overround.config.schema import Execute
from overround.decide.targets import TargetWriter
from overround.execute.process import JOURNAL_FOLDER
from overround.match.types import OrderType, Side
from overround.shm.slots import Slots
from overround.units import parse_price, parse_size

HALF = 6
"""A market of the exchange whose price is near one half."""
TEN = 10 * SHARE
PRODUCER_KEY = "targets-detector-0"
LEASE_MS = 5_000

Resting = tuple[str, str, int, int]
"""(outcome, side, ticks, lots left) of an open order at the exchange."""


class QuotingRig(Rig):
    """One real executor; the test owns the targets and trades against what they make."""

    def __init__(self, folder: Path, *, execute: Execute | None = None) -> None:
        # Without the dead-man switch: a slow restart here must not be the venue's cancel.
        quick = Execute(
            unknown_quiet_ms=300, reconcile_interval_ms=500, quote_life_min_ms=50,
            heartbeat_interval_ms=0,
        )  # fmt: skip
        self.strategy_beats = True
        super().__init__(folder, execute=execute or quick)
        # On a busy machine this test's own beats come late; that is not what is tested.
        patient = self.settings.supervise.model_copy(update={"trust_lease_ms": LEASE_MS})
        self.settings = self.settings.model_copy(update={"supervise": patient})
        self.write_settings()
        self.target_segment = self.instance.segment(PRODUCER_KEY)
        self.target_segment.take_lease()
        self.target_segment.take_over()
        self.targets = TargetWriter(Slots(self.target_segment), clock=monotonic_ns)
        keys = [one["private_key"] for one in self.venue.ready["accounts"][1:3]]
        self.desk = Desk(self.venue.url, keys, Random(1), 1)
        self.me = Trader(self.venue.url, self.key, 9)
        self.market = self._open(HALF)

    def _open(self, index: int) -> Place:
        row = self.instance.catalog.load(index)
        assert row is not None
        bid, ask = self.top(index)
        tokens = (row["token_yes"].decode(), row["token_no"].decode())
        condition = row["condition_id"].decode()
        neg_risk = bool(row["neg_risk"])
        market = self.desk.open(
            Place(index, condition, tokens, neg_risk, int(row["tick_ticks"]), bid, ask)
        )
        self.publish_books()
        return market

    def _beat(self) -> None:
        while not self._stop.wait(0.02):
            now_ns = monotonic_ns()
            if self.beating:
                self.board_segment.beat(now_ns)
                self.instance.beat(now_ns)
            if self.strategy_beats and hasattr(self, "targets"):
                self.target_segment.beat(now_ns)

    @property
    def inside(self) -> tuple[int, int]:
        """The best bid and ask that are free: one tick inside the walls."""
        tick = self.market.tick_ticks
        return self.market.bid_ticks + tick, self.market.ask_ticks - tick

    def want(self, bid: int | None, ask: int | None, lots: int = TEN, **more: Any) -> None:
        """Write the target of the market."""
        self.targets.quote(
            1,
            self.market.index,
            bid=None if bid is None else (bid, lots),
            ask=None if ask is None else (ask, lots),
            ingress_epoch=int(self.board_segment.epoch),
            life_ms=int(more.get("life_ms", 600_000)),
            gtd=bool(more.get("gtd", False)),
        )

    def resting(self) -> list[Resting]:
        """Our open orders as the exchange has them, sorted."""
        page = self.me.signed("GET", "/data/orders")
        if page is None:
            return [("?", "?", 0, 0)]
        return sorted(
            (
                "YES" if one["asset_id"] == self.market.tokens[0] else "NO",
                one["side"],
                parse_price(one["price"]),
                parse_size(one["original_size"]) - parse_size(one["size_matched"]),
            )
            for one in page["data"]
        )

    def yes_quotes(self) -> list[tuple[str, int, int]]:
        """(BID or ASK, ticks of YES, lots) of our open orders."""
        return sorted(
            (
                "BID" if (outcome == "YES") == (side == "BUY") else "ASK",
                ticks if outcome == "YES" else 10_000 - ticks,
                lots,
            )
            for outcome, side, ticks, lots in self.resting()
        )

    def hit(self, side: Side, yes_ticks: int, lots: int) -> bool:
        """Let another member trade YES at this price: SELL meets our bid, BUY our ask.

        False if there was nothing to trade with, or a fault met its request.
        """
        taker = self.desk.traders[1]
        return taker.place(self.market, 0, side, yes_ticks, lots, OrderType.FAK) is not None

    def assert_clean(self) -> None:
        """The journal and the exchange's log agree about everything."""
        found = audit(self.folder / JOURNAL_FOLDER, self.venue.log(), self.address)
        assert found.clean, found

    def close(self) -> None:
        self.desk.close()
        self.me.close()
        super().close()
