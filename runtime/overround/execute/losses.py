"""The loss stops: what the account is worth now, against the day's beginning and its highest.

Worth is P&L since the journal began: cash flow of all fills, plus for each set or lone market
the better of what its positions redeem for at worst and what the bids of their books, when last
trusted, would pay for them (size and fee apart). The day's beginning and the highest are journaled
as marks, so a restart goes on with them: a rise of the highest at most every PEAK_MARK_S, which
is what a death may forget of it. At a limit the kill latch is set; an armed resume is the
operator's word to count anew from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from overround.clock import NS_PER_S
from overround.config.schema import Risk
from overround.decide.exposure import worst_micro
from overround.decide.risk import Refusal, RefusalCode, RiskGate
from overround.execute.markets import Markets
from overround.execute.store import Store
from overround.ledger.records import RiskMark
from overround.shm.kill import KillReason
from overround.units import PRICE_TICKS_MAX, notional_micro

__all__ = ["LOSS_REASONS", "LossWatch"]

DAY_MS: Final = 86_400_000
PEAK_MARK_S: Final = 10
WARM_UP_S: Final = 60
"""Nothing is judged before every held market's book was trusted once, but for this long at most."""
BREATH: Final = 32
"""Markets valued between two turns of the loop: a book costs some ten microseconds."""
LOSS_REASONS: Final = (KillReason.LOSS_LIMIT, KillReason.DAILY_LOSS, KillReason.DRAWDOWN)


class LossWatch:
    """Watches one account; the store keeps its marks."""

    def __init__(
        self,
        store: Store,
        markets: Markets,
        gate: RiskGate,
        limits: Risk,
        *,
        trip: Callable[[str, KillReason], None],
        clock: Callable[[], int],
        epoch_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._markets = markets
        self._gate = gate
        self._limits = limits
        self._trip = trip
        self._clock = clock
        self._epoch_ms = epoch_ms
        self._begun_ns = clock()
        self._bids: dict[str, tuple[int, int]] = {}
        self._peak_micro: int | None = None
        self._marked_ns = self._begun_ns

    async def run(self, interval_s: float) -> None:
        """Look every ``interval_s`` until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(interval_s)

    async def look(self) -> int:
        """Value the account once, mark what is to be marked, judge; return its worth."""
        worth, known = await self._value()
        now_ns = self._clock()
        if known or now_ns - self._begun_ns > WARM_UP_S * NS_PER_S:
            self._mark(worth, now_ns)
            self._judge(worth)
        return worth

    async def _value(self) -> tuple[int, bool]:
        """Return what the account is worth, and whether every held market's book was seen."""
        worth, known = 0, True
        valued = 0
        for size, rows in self._store.own.exposures.account.held():
            redeems = worst_micro([(yes, no, cash) for _, yes, no, cash in rows], size)
            sells = 0
            for condition_id, yes, no, cash in rows:
                if yes or no:
                    valued += 1
                    if valued % BREATH == 0:
                        await asyncio.sleep(0)
                    known &= self._see(condition_id)
                sells += cash + self._pays(condition_id, yes, no)
            worth += max(redeems, sells)
        return worth, known

    async def resume(self, reason: int) -> None:
        """Count anew from here if a loss had set the latch.

        Nothing is judged before that: the loss that set it would set it again.
        """
        if reason in LOSS_REASONS:
            worth, _ = await self._value()
            self._commit("resume", worth, worth)
            self._gate.stop = None

    def _see(self, condition_id: str) -> bool:
        """Take a market's bids if its book is trusted now; return whether it ever was."""
        note = self._store.positions.known_market(condition_id)
        found = None if note is None else self._markets.find(note.token_yes)
        if found is not None:
            book, _ = self._markets.book(found[0].index, self._clock())
            if book.usable and book.trusted:
                yes = book.bid_ticks if book.bid_lots > 0 else 0
                no = PRICE_TICKS_MAX - book.ask_ticks if book.ask_lots > 0 else 0
                self._bids[condition_id] = (yes, no)
        return condition_id in self._bids

    def _pays(self, condition_id: str, yes: int, no: int) -> int:
        yes_ticks, no_ticks = self._bids.get(condition_id, (0, 0))
        return notional_micro(yes, yes_ticks) + notional_micro(no, no_ticks)

    def _mark(self, worth: int, now_ns: int) -> None:
        mark, today = self._store.own.mark, self._epoch_ms() // DAY_MS
        peak = self._peak_micro
        if peak is None:
            peak = mark.peak_worth_micro if mark is not None else worth
        self._peak_micro = max(peak, worth)
        if mark is None or today > mark.utc_day:
            self._commit("day", worth, self._peak_micro)
        elif (
            self._peak_micro > mark.peak_worth_micro
            and now_ns - self._marked_ns >= PEAK_MARK_S * NS_PER_S
        ):
            self._commit("peak", mark.day_worth_micro, self._peak_micro)

    def _commit(self, cause: str, day_worth: int, peak: int) -> None:
        store, epoch_ms = self._store, self._epoch_ms()
        anew = cause != "peak"
        record = RiskMark(
            cause, epoch_ms // DAY_MS, day_worth, peak,
            bases=store.own.exposures.bases() if anew else (), epoch_ms=epoch_ms,
            worst_micro=store.positions.view().worst_micro if cause == "resume" else None,
        )  # fmt: skip
        store.commit(record, self._clock())
        self._peak_micro, self._marked_ns = peak, self._clock()

    def _judge(self, worth: int) -> None:
        mark, limits = self._store.own.mark, self._limits
        assert mark is not None, "the first look marks the day"
        assert self._peak_micro is not None
        for code, reason, what, since, limit in (
            (RefusalCode.DAILY_LOSS, KillReason.DAILY_LOSS, "of the day", mark.day_worth_micro,
             limits.daily_loss_max_micro),
            (RefusalCode.DRAWDOWN, KillReason.DRAWDOWN, "from the highest", self._peak_micro,
             limits.drawdown_max_micro),
        ):  # fmt: skip
            fall = since - worth
            if fall > 0 and fall >= limit:
                text = f"loss {what} {fall} is at its limit of {limit} micro"
                self._gate.stop = Refusal(code, text)
                self._trip(text, reason)
                return
        self._gate.stop = None
