"""What a comparison of the journal with the venue may find, and what is done about each.

``RULES`` is the whole list; ``docs/reference/recovery.md`` is made from it. A finding never
changes a position by itself: positions come from trades, from the opening, and from what a person
adopts with ``overround reconcile --apply``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from overround.clock import NS_PER_MS
from overround.errors import VenueError
from overround.execute.markets import Markets
from overround.execute.news import News
from overround.execute.store import Store
from overround.execute.venueview import Answers
from overround.layout.intent import BUY, IntentFlag
from overround.ledger.records import (
    Ack,
    Adjusted,
    Finding,
    Findings,
    Intent,
    IntentKey,
    Sent,
    Signed,
)
from overround.observe.metrics import Value
from overround.units import notional_up_micro
from overround.venues.contract import OrderType
from overround.venues.polymarket.records import UserOrder, UserTrade

__all__ = ["POLICIES", "RULES", "Recovery", "Rule"]

POLICIES: Final = ("cancel", "adopt", "leave")
SHARES_EVERY_MS: Final = 60_000
"""How often the shares held are compared; the venue answers 20 balances a second."""
TOKENS_AT_ONCE: Final = 20
"""Tokens asked for in one comparison; the rest have their turn in the next ones."""
OPENING_TOKENS_MAX: Final = 500
"""Tokens asked for when a journal is opened: all that were traded, and the catalog's first."""


class Rule(NamedTuple):
    """One row: what is found, what it proves, what is done."""

    code: str
    found: str
    action: str


RULES: Final = (
    Rule("incomplete", "a listing whose page failed, was unreadable or never ended",
         "refused whole; nothing is concluded from it; asked again"),
    Rule("unknown", "an order of ours whose outcome is unknown",
         "looked up by id; identical bytes resent or cancelled; ended by proof (orders.md)"),
    Rule("gone", "a live order of ours that the listing lacks",
         "its trades were listed after it: closed once they are booked"),
    Rule("revived", "an order that was done and is listed open", "taken up again and cancelled"),
    Rule("fill", "a trade of ours that no record tells of", "booked, whoever told of it first"),
    Rule("orphan", "an open order that no record speaks of",
         "by `execute.orphan_orders`: cancelled, adopted, or left"),
    Rule("stranger", "a trade of an order that no record speaks of",
         "told once; not booked: the shares difference shows what it did"),
    Rule("opening", "cash and shares held before the journal's first day",
         "adopted as opening balance, once no trade of the account is unsettled"),
    Rule("cash", "another balance than the ledger's, with nothing open or pending",
         "the venue reads the chain again; told if it stays; mended by hand alone"),
    Rule("shares", "another count of a token than the ledger's, with nothing of it open or pending",
         "the venue reads the chain again; told if it stays; mended by hand alone"),
    Rule("zero", "a balance of zero for shares the ledger has",
         "no proof that they are gone: told like any difference, never booked"),
    Rule("overdue", "a fill that does not settle for `execute.settle_alarm_ms`",
         "alarms; its shares are neither sold nor spent before it is final"),
)  # fmt: skip
"""Every kind of finding, in the order in which they are dealt with."""


class Recovery:
    """Finds and mends what is no order's own business: openings, orphans, shares, cash."""

    def __init__(
        self,
        store: Store,
        reader: Answers,
        markets: Markets,
        news: News,
        *,
        clock: Callable[[], int],
        epoch_ms: Callable[[], int],
        policy: str,
        settle_alarm_ms: int,
    ) -> None:
        self._store = store
        self._reader = reader
        self._markets = markets
        self._news = news
        self._clock = clock
        self._epoch_ms = epoch_ms
        self._policy = policy
        self._alarm_ms = settle_alarm_ms
        self._shares_ns = 0
        self._next_token = 0
        self._shares: dict[str, Finding] = {}
        self._told: tuple[Finding, ...] = ()
        self._orphans: set[str] = set()

    # -- the first day -------------------------------------------------------------------

    async def open(self) -> None:
        """Adopt the shares held before this journal began; the caller then opens the cash.

        VenueError, with nothing adopted, while a young trade of the account is unsettled: what
        it brings would be missing here and never be booked.
        """
        trades = await self._reader.trades(0)
        now_ms = self._epoch_ms()
        for trade in trades:
            if not trade.state.final and now_ms - trade.match_epoch_ms < self._alarm_ms:
                text = f"trade {trade.trade_id} is settling: opening waits"
                raise VenueError(text, retryable=True)
        held = {}
        for token in self._candidates(trades):
            held[token] = await self._reader.shares(token)
        for token, lots in held.items():
            if lots > self._store.positions.lots(token):
                self.adjust(token, lots - self._store.positions.lots(token), "opening")

    def _candidates(self, trades: Sequence[UserTrade]) -> list[str]:
        tokens = dict.fromkeys(self._store.positions.holdings)
        for trade in trades:
            tokens |= dict.fromkeys([trade.token_id, *(o.token_id for o in trade.maker_orders)])
        tokens |= dict.fromkeys(self._markets.tokens())
        return list(tokens)[:OPENING_TOKENS_MAX]

    def adjust(self, token: str, lots: int, cause: str, cash_micro: int = 0) -> None:
        """Journal shares and cash that no trade of ours brought or took."""
        condition_id, outcome = self._place(token)
        record = Adjusted(token, condition_id, outcome, lots, cash_micro, cause)
        self._store.commit(record, self._clock())
        self._news.notice("adopted", cause=cause, token=token, lots=lots, cash_micro=cash_micro)

    def _place(self, token: str) -> tuple[str, int]:
        """Return condition and outcome of a token; of one nobody knows itself and YES."""
        found = self._markets.find(token)
        if found is not None:
            return found[0].condition_id, found[1]
        for held in self._store.positions.holdings.values():
            note = self._store.positions.known_market(held.condition_id)
            if note is not None and token in (note.token_yes, note.token_no):
                return held.condition_id, int(token == note.token_no)
        return token, 0

    # -- orphans -------------------------------------------------------------------------

    def orphans(self, listing: Iterable[UserOrder]) -> tuple[list[str], list[Finding]]:
        """Deal with open orders that no record speaks of: (ids to cancel, what was found)."""
        cancels, findings = [], []
        for one in listing:
            if one.order_id in self._store.by_id:
                continue
            action = self._policy
            if action == "adopt" and one.matched_lots and not self._store.opened:
                action = "cancel"  # the opening shares hold what it has filled already
            findings.append(
                Finding("orphan", one.order_id, 0, one.original_lots - one.matched_lots, action)
            )
            if action == "cancel":
                cancels.append(one.order_id)
            elif action == "adopt":
                self._adopt(one)
        ids = {one.subject for one in findings}
        self._news.count(Value.ORDERS_ORPHANED, len(ids - self._orphans))
        self._orphans = ids
        return cancels, findings

    def _adopt(self, one: UserOrder) -> None:
        """Make an order ours by the records that its own life would have left."""
        now_ns = self._clock()
        key = self._key(one.order_id)
        found = self._markets.find(one.token_id)
        buys = int(one.side) == BUY
        worth = notional_up_micro(one.original_lots, one.price_ticks)
        cash, shares = worth, one.original_lots
        kind = OrderType.GTC if one.order_type is None else one.order_type
        intent = Intent(
            *key, plan=0, leg=0, legs=1, account=0, strategy=0, token=one.token_id,
            condition_id=one.condition_id, outcome=found[1] if found else 0, side=int(one.side),
            order_type=int(kind), flags=int(IntentFlag.POST_ONLY), price_ticks=one.price_ticks,
            size_lots=shares, edge_micro=0, created_epoch_ms=one.created_epoch_ms,
            expiration_s=one.expiration_s,
        )  # fmt: skip
        maker, taker = (cash, shares) if buys else (shares, cash)
        for record in (
            intent,
            Signed(*key, one.order_id, 0, 0, maker, taker, worth if buys else 0, b""),
            Sent((one.order_id,)),
            Ack(one.order_id, "live", one.trade_ids, one.matched_lots, source="adopted"),
        ):
            self._store.commit(record, now_ns)

    def _key(self, order_id: str) -> IntentKey:
        """Return the intent key of an adopted order: no run's, and nobody else's."""
        number = int.from_bytes(sha256(order_id.encode()).digest()[:8], "big") >> 4
        while (key := IntentKey(0, 0, number)) in self._store.by_key:
            number += 1
        return key

    # -- balances ------------------------------------------------------------------------

    async def compare_cash(self, asked_ns: int) -> tuple[int, list[Finding]]:
        """Return the venue's balance, and a finding if it is not the ledger's at rest."""
        cash = await self._reader.cash()
        if self._is_at_rest(asked_ns) and cash != self._cash:
            cash = await self._reader.cash(fresh=True)
            if self._is_at_rest(asked_ns) and cash != self._cash:
                return cash, [Finding("cash", "", self._cash, cash, "told")]
        return cash, []

    @property
    def _cash(self) -> int:
        return self._store.positions.view().cash_micro

    def _is_at_rest(self, asked_ns: int) -> bool:
        store = self._store
        moved = store.touched_ns > asked_ns
        return store.opened and not (store.working or store.positions.pending() or moved)

    async def compare_shares(self, asked_ns: int, *, every: bool = False) -> list[Finding]:
        """Return how the venue's shares differ from the ledger's, token by token, in turns."""
        if (
            not every
            and self._shares_ns
            and asked_ns - self._shares_ns < SHARES_EVERY_MS * (NS_PER_MS)
        ):
            return list(self._shares.values())
        tokens = self.tokens()
        turn = tokens if every else (tokens * 2)[self._next_token :][:TOKENS_AT_ONCE]
        for token in dict.fromkeys(turn):
            await self._compare_token(token, asked_ns)
        self._next_token = (self._next_token + TOKENS_AT_ONCE) % max(1, len(tokens))
        self._shares_ns = asked_ns
        return list(self._shares.values())

    def tokens(self) -> list[str]:
        """Return the tokens that were ever held, and the other ones of their markets."""
        tokens: dict[str, None] = {}
        for token, held in self._store.positions.holdings.items():
            note = self._store.positions.known_market(held.condition_id)
            tokens |= dict.fromkeys([token, note.token_yes, note.token_no] if note else [token])
        return list(tokens)

    async def _compare_token(self, token: str, asked_ns: int) -> None:
        self._shares.pop(token, None)
        for fresh in (False, True):
            theirs = await self._reader.shares(token, fresh=fresh)
            ours = self._store.positions.lots(token)
            if theirs == ours or not self._is_still(token, asked_ns):
                return
        code = "shares" if theirs else "zero"
        self._shares[token] = Finding(code, token, ours, theirs, "told")

    def _is_still(self, token: str, asked_ns: int) -> bool:
        held = self._store.positions.holdings.get(token)
        if self._store.touched_ns > asked_ns:
            return False
        if held is not None and (held.pending_lots or held.pending_sale_lots):
            return False
        return not any(order.intent.token == token for order in self._store.working.values())

    # -- the report ----------------------------------------------------------------------

    def note(self, cause: str, findings: Sequence[Finding]) -> None:
        """Journal and tell what was found, if it is not what was found before."""
        now = tuple(findings)
        if now == self._told:
            return
        for one in now:
            if one not in self._told:
                self._news.notice(
                    "recovery", code=one.code, subject=one.subject, ledger=one.ours,
                    venue=one.theirs, action=one.action,
                )  # fmt: skip
        self._told = now
        self._store.commit(Findings(cause, now), self._clock())
