"""An executor's core without a venue: markets by hand, a clock that is set, news in lists."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from overround.config.schema import Mode, Risk
from overround.decide.risk import BookView, RiskGate
from overround.execute.build import OrderBuilder
from overround.execute.executor import Executor, Submission
from overround.execute.intents import RingIntent
from overround.execute.markets import MarketInfo
from overround.execute.order import OrderState as Stage
from overround.execute.resolve import Resolver
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.layout.report import ReportKind
from overround.ledger.journal import Journal, replay
from overround.ledger.records import Intent, Kind, Reconcile, Start
from overround.observe.metrics import Histogram, Value
from overround.venues.contract import OrderType, Side
from overround.venues.polymarket.answers import OrderAnswer, Outcome, no_answer
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.orders import OrderSigner
from overround.venues.polymarket.reasons import RejectReason
from overround.venues.polymarket.records import (
    MakerOrder,
    OrderEvent,
    OrderState,
    TradeState,
    UserOrder,
    UserTrade,
)

OWNER = "6f1c0f0e-8c5b-4c0e-9a53-0d3b1f2e7a10"
STRANGER = "b2f0c0de-0000-4000-8000-000000000000"
KEY = "0x" + "11" * 32
RUN = 77
S = 1_000_000_000
SHARE = 1_000_000
CASH = 1_000 * 1_000_000


def market(index: int, **changes: object) -> MarketInfo:
    """A market of the set {0, 1, 2}, or alone from 3 on; fee 5 %."""
    members = tuple(f"0xc{one:063x}" for one in range(3)) if index < 3 else ()
    info = MarketInfo(
        index=index,
        condition_id=f"0xc{index:063x}",
        token_yes=str(10**70 + 2 * index),
        token_no=str(10**70 + 2 * index + 1),
        active=True,
        tick_ticks=100,
        min_size_lots=5 * SHARE,
        neg_risk=index < 3,
        fee_known=True,
        fee_rate_ppm=50_000,
        fee_exponent=1,
        set_members=members,
    )
    return replace(info, **changes)  # type: ignore[arg-type]


@dataclass
class HandMarkets:
    """Markets and books that a test sets."""

    infos: dict[int, MarketInfo] = field(
        default_factory=lambda: {index: market(index) for index in range(5)}
    )
    books: dict[int, BookView] = field(default_factory=dict)

    def info(self, index: int) -> MarketInfo | None:
        return self.infos.get(index)

    def tokens(self) -> list[str]:
        return [token for one in self.infos.values() for token in (one.token_yes, one.token_no)]

    def find(self, token: str) -> tuple[MarketInfo, int] | None:
        for info in self.infos.values():
            if token in (info.token_yes, info.token_no):
                return info, int(token == info.token_no)
        return None

    def book(self, index: int, now_ns: int) -> tuple[BookView, int]:
        usual = BookView(True, True, 4, 4_800, 5_000, 100 * SHARE, 100 * SHARE)
        return self.books.get(index, usual), 0


class ListNews:
    """News kept for the test to look at."""

    def __init__(self) -> None:
        self.counts: Counter[Value] = Counter()
        self.gauges: dict[Value, int] = {}
        self.reports: list[tuple[ReportKind, int, int]] = []
        self.notices: list[str] = []

    def count(self, value: Value, n: int = 1) -> None:
        self.counts[value] += n

    def gauge(self, value: Value, number: int) -> None:
        self.gauges[value] = number

    def time(self, stage: Histogram, elapsed_ns: int) -> None:
        assert elapsed_ns >= 0, stage

    def report(self, kind: ReportKind, intent: Intent, **values: object) -> None:
        reason = values.get("reason", 0)
        assert isinstance(reason, int)
        self.reports.append((kind, intent.sequence, reason))

    def notice(self, event: str, /, **values: object) -> None:
        self.notices.append(event)


class Desk:
    """One executor core over a journal folder; ``restart`` is what a new process would do."""

    def __init__(self, folder: Path, *, mode: Mode = Mode.SIM, limits: Risk | None = None) -> None:
        self.folder = folder
        self.mode = mode
        self.limits = limits or Risk(same_in_flight_max=64)
        self.markets = HandMarkets()
        self.now_ns = 1_000 * S
        self.now_ms = 1_795_345_200_000
        self.kill = False
        self.tripped: list[str] = []
        self.journal: Journal | None = None
        self.open()

    def open(self) -> None:
        """Open the journal and build the core anew."""
        self.journal = Journal(self.folder, segment_bytes=2**16, sync_policy="none")
        self.store = Store(self.journal)
        self.news = ListNews()
        self.store.commit(Start(RUN, 1, self.mode.value, "0x"), self.now_ns)
        if not self.store.opened:
            self.store.commit(Reconcile(CASH, 0, 0, (), True), self.now_ns)
        signer = Signer(KEY)
        self.core = Executor(
            self.store,
            RiskGate(self.limits, self.mode, own=self.store.own.exposures),
            self.markets,
            OrderBuilder(OrderSigner(signer), owner=OWNER, chain_id=137),
            self.news,
            run_id=RUN,
            clock=lambda: self.now_ns,
            epoch_ms=lambda: self.now_ms,
            killed=lambda: self.kill,
            trip=self.tripped.append,
            shadow=self.mode is Mode.SHADOW,
        )
        self.core.ready = True
        self.settlement = Settlement(
            self.store, self.markets, self.news, owner=OWNER, clock=lambda: self.now_ns
        )
        self.resolver = Resolver(
            self.store,
            self.settlement,
            self.news,
            quiet_ns=3 * S,
            clock=lambda: self.now_ns,
            killed=lambda: self.kill,
        )

    def close(self) -> None:
        """Give the folder back, as a death would."""
        assert self.journal is not None
        self.journal.close()

    def restart(self) -> int:
        """Die and start again; return the unknown outcomes found."""
        self.close()
        self.open()
        return self.resolver.restart()

    def tick(self, ms: float) -> None:
        """Let time pass."""
        self.now_ns += int(ms * 1_000_000)
        self.now_ms += int(ms)

    def intent(self, sequence: int, **changes: object) -> RingIntent:
        """A FAK BUY of ten YES of market 3 at the best ask, good for half a second."""
        values = RingIntent(
            producer_sequence=sequence,
            created_ns=self.now_ns,
            expires_ns=self.now_ns + S // 2,
            seen_ns=self.now_ns,
            event_recv_ns=self.now_ns,
            ingress_epoch=4,
            plan=sequence,
            producer=2,
            account=0,
            strategy=1,
            market=3,
            leg=0,
            legs=1,
            outcome=0,
            side=int(Side.BUY),
            order_type=int(OrderType.FAK),
            flags=0,
            price_ticks=5_000,
            size_lots=10 * SHARE,
            edge_micro=0,
            target=0,
        )
        return values._replace(**changes)

    def plan(self, first: int, legs: int, **changes: object) -> list[RingIntent]:
        """The legs of one plan over markets 0, 1, ..."""
        return [
            self.intent(first + leg, plan=first, leg=leg, legs=legs, market=leg, **changes)
            for leg in range(legs)
        ]

    def send(self, *intents: RingIntent) -> Submission:
        """Take intents that make one submission, and begin it."""
        (submission,) = self.core.take(intents)
        assert self.core.begin(submission)
        return submission

    def order(self, sequence: int):  # type: ignore[no-untyped-def]
        """The order of an intent."""
        return next(o for key, o in self.store.by_key.items() if key.sequence == sequence)


def accepted(order_id: str, status: str = "matched", *trades: str, **more: object) -> OrderAnswer:
    """An answer that takes an order."""
    return OrderAnswer(
        outcome=Outcome.ACCEPTED,
        order_id=order_id,
        status=status,
        trade_ids=trades,
        **more,  # type: ignore[arg-type]
    )


def rejected(order_id: str, reason: RejectReason = RejectReason.FAK_NOT_FILLED) -> OrderAnswer:
    """An answer that refuses an order for certain."""
    return OrderAnswer(outcome=Outcome.REJECTED, order_id=order_id, reason=reason, text=reason.name)


def duplicate(order_id: str) -> OrderAnswer:
    """The answer to bytes the venue has seen before."""
    return OrderAnswer(
        outcome=Outcome.DUPLICATE, order_id=order_id, reason=RejectReason.DUPLICATED, text="dup"
    )


def taker_trade(
    order_id: str, info: MarketInfo, trade_id: str = "t1", *,
    state: TradeState = TradeState.MATCHED,
    price_ticks: int = 5_000, size_lots: int = 10 * SHARE, outcome: int = 0,
    side: Side = Side.BUY, epoch_ms: int = 1_795_345_200_100,
) -> UserTrade:  # fmt: skip
    """A trade in which our order took."""
    return UserTrade(
        trade_id=trade_id, state=state, taker_order_id=order_id, condition_id=info.condition_id,
        token_id=info.token(outcome), side=side, price_ticks=price_ticks, size_lots=size_lots,
        owner=OWNER, maker_address="0x1", we_are_maker=False, transaction_hash="", bucket_index=0,
        match_epoch_ms=epoch_ms, epoch_ms=epoch_ms, maker_orders=(),
    )  # fmt: skip


def maker_trade(
    order_id: str, info: MarketInfo, trade_id: str = "m1", *,
    state: TradeState = TradeState.MATCHED,
    size_lots: int = 10 * SHARE, price_ticks: int = 4_700, outcome: int = 0,
    side: Side = Side.BUY,
) -> UserTrade:  # fmt: skip
    """A trade minted against our resting order: the outer values are the other side's."""
    return UserTrade(
        trade_id=trade_id, state=state, taker_order_id="0xother", condition_id=info.condition_id,
        token_id=info.token(1 - outcome), side=side, price_ticks=10_000 - price_ticks,
        size_lots=2 * size_lots, owner=STRANGER, maker_address="0x2", we_are_maker=True,
        transaction_hash="", bucket_index=0, match_epoch_ms=1, epoch_ms=1,
        maker_orders=(
            MakerOrder(
                order_id=order_id, owner=OWNER, maker_address="0x1", token_id=info.token(outcome),
                side=side, price_ticks=price_ticks, matched_lots=size_lots,
            ),
        ),
    )  # fmt: skip


def order_event(
    order_id: str, info: MarketInfo, event: OrderEvent, *, matched_lots: int = 0,
    state: OrderState = OrderState.LIVE, size_lots: int = 10 * SHARE,
) -> UserOrder:  # fmt: skip
    """An event or listing entry of one of our orders."""
    return UserOrder(
        event=event, order_id=order_id, condition_id=info.condition_id, token_id=info.token_yes,
        side=Side.BUY, price_ticks=4_700, original_lots=size_lots, matched_lots=matched_lots,
        state=state, state_text=state.name, reason=RejectReason.NONE, order_type=None,
        owner=OWNER, maker_address="0x1", expiration_s=0, created_epoch_ms=1, epoch_ms=1,
        trade_ids=(),
    )  # fmt: skip


def kinds(desk: Desk) -> list[Kind]:
    skipped = (Kind.START, Kind.RECONCILE, Kind.MARKET)
    found = [Kind(record.kind) for record in replay(desk.folder)]
    return [kind for kind in found if kind not in skipped]


def refusals(desk: Desk) -> list[int]:
    return [reason for kind, _, reason in desk.news.reports if kind is ReportKind.REFUSED]


def lose(desk: Desk, *intents: object):  # type: ignore[no-untyped-def]
    submission = desk.send(*(intents or (desk.intent(0),)))  # type: ignore[arg-type]
    desk.core.answer(submission, [no_answer(one, "lost") for one in submission.order_ids])
    return submission


def rest(desk: Desk, sequence: int = 0):  # type: ignore[no-untyped-def]
    submission = desk.send(desk.intent(sequence, order_type=int(OrderType.GTC), price_ticks=4_700))
    desk.core.answer(submission, [accepted(submission.order_ids[0], "live")])
    order = desk.order(sequence)
    assert order.state is Stage.LIVE
    return order
