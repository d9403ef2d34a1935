"""The slow twin's second half: how markets end, sets convert, fees change and rebates are paid.

Nothing is kept as a running sum: what the converter advanced, the dust of redemptions and the
rebate pools are worked out from the list of everything that ever happened.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

from overround.match.types import DoneReason, Outcome, Side

Plain = tuple[object, ...]

DAY_MS = 24 * 60 * 60 * 1000


class Ends:
    """Commands beyond trading; ``SlowExchange`` supplies money, books and ``remove``."""

    def start_ends(self) -> None:
        self.payouts: dict[int, int] = {}
        self.sets: dict[int, tuple[int, ...]] = {}
        self.conversions: list[tuple[int, int]] = []
        self.redemptions: list[tuple[int, Fraction]] = []
        self.notes: dict[int, dict[int, tuple[int, int]]] = {}
        self.rebated: list[dict[str, Any]] = []

    # -- sets and outcomes ---------------------------------------------------------------

    def define_set(self, index: int, markets: tuple[int, ...]) -> None:
        self.sets[index] = markets

    def convert(self: Any, account: int, index: int, markets: tuple[int, ...], lots: int) -> bool:
        members = self.sets.get(index, ())
        bad = [m for m in markets if m not in members or markets.count(m) > 1]
        if lots < 0 or bad or not markets or any(m in self.payouts for m in members):
            raise ValueError("cannot be converted")
        if min(self.free_lots(account, market, Outcome.NO) for market in markets) < lots:
            return False
        for market in members:
            if market in markets:
                self.grant(account, market, Outcome.NO, -lots)
            else:
                self.grant(account, market, Outcome.YES, lots)
        self.deposit(account, (len(markets) - 1) * lots)
        self.conversions.append((index, lots))
        return True

    def resolve(self: Any, market: int, yes_ticks: int) -> list[Plain]:
        home = [members for members in self.sets.values() if market in members]
        if yes_ticks not in (0, 5_000, 10_000) or market in self.payouts:
            raise ValueError("cannot be")
        if home:
            after = [{**self.payouts, market: yes_ticks}.get(m) for m in home[0]]
            if yes_ticks == 5_000 or after.count(10_000) > 1 or set(after) == {0}:
                raise ValueError("no such end of a set")
        self.payouts[market] = yes_ticks
        self.closed.add(market)
        events: list[Plain] = []
        for order in self.side(market, True) + self.side(market, False):
            events += self.remove(order, DoneReason.MARKET_RESOLVED)
        return [*events, ("MarketResolved", market, yes_ticks)]

    def redeem(self: Any, account: int, market: int) -> int:
        if market not in self.payouts:
            raise ValueError("not resolved")
        yes_worth = Fraction(self.payouts[market], 10_000)
        yes = self.free_lots(account, market, Outcome.YES)
        no = self.free_lots(account, market, Outcome.NO)
        worth = yes * yes_worth + no * (1 - yes_worth)
        self.grant(account, market, Outcome.YES, -yes)
        self.grant(account, market, Outcome.NO, -no)
        self.deposit(account, floor(worth))
        self.redemptions.append((market, worth - floor(worth)))
        return floor(worth)

    def force_withdraw(self: Any, account: int, micro: int) -> list[Plain] | None:
        mine = [o for o in self.resting if o.account == account and o.side == Side.BUY]
        held = [-(-(o.size_lots - o.filled_lots) * o.price_ticks // 10_000) for o in mine]
        if self.free_cash(account) + sum(held) < micro:
            return None
        events: list[Plain] = []
        while self.free_cash(account) < micro:
            events += self.remove(mine.pop(), DoneReason.NOT_ENOUGH_BALANCE)
        self.deposit(account, -micro)
        return events

    # -- fees ----------------------------------------------------------------------------

    def schedule_fee(self, market: int, from_ms: int, rate: int, exponent: int = 1) -> None:
        self.notes.setdefault(market, {})[from_ms] = (rate, exponent)

    def roll_fees(self: Any, market: int, now_ms: int) -> None:
        for moment in sorted(self.notes.get(market, {})):
            if moment <= now_ms:
                rate, exponent = self.notes[market].pop(moment)
                rules = self.markets[market]
                self.markets[market] = replace(rules, fee_rate_ppm=rate, fee_exponent=exponent)

    def terms(self: Any, market: int) -> Plain:
        rules = self.markets[market]
        notes = tuple((at, *note) for at, note in sorted(self.notes.get(market, {}).items()))
        return rules.tick_ticks, rules.fee_rate_ppm, rules.fee_exponent, notes

    def note_rebate(self: Any, trade: int, market: int, now_ms: int, fee: int, legs: Any) -> None:
        rules = self.markets[market]
        if not rules.rebate_ppm:
            return
        makers = tuple(
            (account, self.fee(lots, price, rules.fee_rate_ppm, rules.fee_exponent))
            for account, lots, price in legs
        )
        self.rebated.append(
            {"trade": trade, "day": now_ms // DAY_MS, "market": market, "makers": makers,
             "pool": fee * rules.rebate_ppm, "state": "unsettled"}
        )  # fmt: skip

    def settle_rebate(self, trade: int, confirmed: bool) -> None:
        for entry in self.rebated:
            if entry["trade"] == trade:
                entry["state"] = "due" if confirmed else "void"

    def pools(self) -> list[tuple[int, int, int, dict[int, int]]]:
        due = [entry for entry in self.rebated if entry["state"] == "due"]
        rows = []
        for day, market in sorted({(entry["day"], entry["market"]) for entry in due}):
            mine = [e for e in due if (e["day"], e["market"]) == (day, market)]
            parts: dict[int, int] = {}
            for account, equivalent in [pair for entry in mine for pair in entry["makers"]]:
                parts[account] = parts.get(account, 0) + equivalent
            rows.append((day, market, sum(entry["pool"] for entry in mine), parts))
        return rows

    def pay_rebates(self: Any, day: int) -> list[Plain]:
        rows: list[tuple[int, int, int]] = []
        for pool_day, market, pool, parts in self.pools():
            total = sum(parts.values())
            if pool_day == day and total:
                whole = pool // 1_000_000
                for account, part in sorted(parts.items()):
                    if whole * part // total:
                        rows.append((market, account, whole * part // total))
        events: list[Plain] = []
        for market, account, micro in rows:
            if sum(row[2] for row in rows if row[1] == account) >= 1_000_000:
                self.deposit(account, micro)
                self.fees -= micro
                events.append(("RebatePaid", day, market, account, micro))
        for entry in self.rebated:
            if entry["day"] == day and entry["state"] == "due":
                entry["state"] = "paid"
        return events

    # -- comparison ----------------------------------------------------------------------

    def ends_state(self) -> Plain:
        advances = []
        for index, members in sorted(self.sets.items()):
            losers = [self.payouts.get(market) for market in members].count(0)
            lots = sum(lots for of, lots in self.conversions if of == index)
            if (len(members) - 1 - losers) * lots:
                advances.append((index, (len(members) - 1 - losers) * lots))
        dust: dict[int, int] = {}
        for market, rest in self.redemptions:
            dust[market] = dust.get(market, 0) + int(rest * 10_000)
        return (
            tuple(sorted(self.payouts.items())),
            tuple(advances),
            tuple(sorted((market, rest) for market, rest in dust.items() if rest)),
        )

    def rebates_state(self) -> Plain:
        pools = tuple((*row[:3], tuple(sorted(row[3].items()))) for row in self.pools())
        unsettled = tuple(
            (e["trade"], (e["day"], e["market"], e["pool"], e["makers"]))
            for e in self.rebated
            if e["state"] == "unsettled"
        )
        return pools, unsettled
