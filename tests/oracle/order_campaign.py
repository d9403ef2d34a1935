"""The order campaign: random orders, every fault on the order's path, kill -9, then an audit.

A real executor process trades on a real exchange process. The campaign is supervisor, strategy
and market at once: it pushes intents of every kind, lets two other members hit what rests,
turns fault switches, and kills. At the end everything is let come to rest and the auditor
compares the executor's files with the exchange's own record. A seed repeats the sequence of what
is done; the instants are the machine's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from oracle.audit import Audit, audit, exchange_books
from oracle.executor_rig import PATIENCE_S, SHARE, Rig
from oracle.order_campaign_desk import Desk, Place, Trader
from oracle.order_campaign_faults import POST_ONLY_AFTER_S, Deck
from oracle.order_campaign_ledger import LedgerEye
from oracle.order_campaign_rebates import DAY_MS, rebates, schedules
from oracle.order_campaign_report import Plan, Report
from overround.clock import epoch_ms, monotonic_ns
from overround.config.schema import Execute, Ledger, Risk
from overround.execute.process import JOURNAL_FOLDER
from overround.layout.account import AccountKind
from overround.ledger.journal import replay
from overround.observe.metrics import Value
from overround.shm.kill import KillLatch, KillReason
from overround.shm.member import READY
from overround.shm.slots import Slots
from overround.units import parse_price, parse_size

MARKETS: Final = (3, 5, 6, 7, 8, 9)
"""A neg-risk market near one, three with a fee, two without."""
SET_MARKETS: Final = (0, 1, 3)
"""Legs of the plans: NO of some members of one exhaustive set."""
SIZES: Final = (5, 7.5, 10, 20, 33.33)
BURST: Final = (4, 10)
"""Actions between two turns of a switch."""
PAUSE_S: Final = 0.004
BREATH_S: Final = 0.02
TTL_NS: Final = 8_000_000_000
RESTS_KEPT: Final = 8
LIFE_S: Final = 200
"""Of an order that states its end: the exchange wants three minutes at least."""
FLIP_BURSTS: Final = 5
"""After so many bursts every market's direction turns round."""
REFUSED_S: Final = 0.2
RING_ROOM: Final = 64
KILL_CHANCE: Final = {"executor": 0.10, "exchange": 0.06, "database": 0.15}
DEALT_ORDERS: Final = 2_500
"""A longer campaign turns switches and kills about as often as one of this length: orders cost a
few milliseconds, while a fault holds everything up and a restart does all before it again."""
PERMITS_CHANCE: Final = 0.7
KILLS_MAX: Final = {"executor": 500, "exchange": 20, "database": 500}
"""An exchange that goes on does everything since its beginning again: that takes its time."""
STALL_S: Final = 60
START_PATIENCE_S: Final = 300
"""An executor that starts behind a long journal, on a busy machine."""
LEDGER_STOP_MS: Final = 20_000
COMPLAINTS_MAX: Final = 20
COMPLAINT_CHARS: Final = 2_000
SABOTAGED_PATIENCE_S: Final = 4
"""A broken executor may never come to rest; that it does not is part of the finding."""
SIM_OPTIONS: Final = ("--markets", "12", "--cash", "2000000", "--history", "1000000")


class Campaign:
    """One run. ``run`` returns the report whatever it finds."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.report = Report(plan.seed, plan.sabotage)
        self._random = Random(f"order campaign/{plan.seed}")
        self._deck = Deck(Random(f"order campaign/faults/{plan.seed}"), plan.switches)
        self._pause = threading.Event()
        self._done: Counter[str] = Counter()
        self._killed: Counter[str] = Counter()
        self._rests: list[tuple[int, Place, int, int, int, int]] = []
        self._markets: list[Place] = []
        self._bursts = 0
        self._calm = max(1, plan.orders // DEALT_ORDERS)
        """Bursts for each that a switch is turned for."""
        self._rig = self._new_rig()

    def _new_rig(self) -> Rig:
        rig = Rig(
            self.plan.folder,
            risk=Risk(
                orders_per_s_max=100_000, orders_burst_max=100_000,
                loss_max_micro=10**12, account_notional_max_micro=10**12,
                same_in_flight_max=1_000, self_cross_allowed=True,
                open_orders_max=10_000, market_open_orders_max=10_000,
                market_notional_max_micro=10**12, market_loss_max_micro=10**12,
                event_position_max_lots=10**12, event_notional_max_micro=10**12,
                event_loss_max_micro=10**12, strategy_position_max_lots=10**12,
                strategy_notional_max_micro=10**12, strategy_loss_max_micro=10**12,
                account_position_max_lots=10**12, account_loss_max_micro=10**12,
                daily_loss_max_micro=10**12, drawdown_max_micro=10**12,
                cancels_per_s_max=100_000, cancels_burst_max=100_000,
            ),
            execute=Execute(unknown_quiet_ms=1_000, reconcile_interval_ms=500),
            sim_options=(
                *SIM_OPTIONS, "--seed", str(self.plan.seed),
                "--watch-journal", str(self.plan.folder / JOURNAL_FOLDER),
            ),
        )  # fmt: skip
        venue = rig.settings.venue.model_copy(update={"request_timeout_ms": 1_500})
        rig.settings = rig.settings.model_copy(update={"venue": venue})
        rig.settings = rig.settings.model_copy(
            update={
                "ledger": Ledger(database_url=self.plan.database_url, stop_limit_ms=LEDGER_STOP_MS)
            }
        )
        rig.write_settings()
        self._ledger = LedgerEye(self.plan.database_url, self.plan.folder)
        if self.plan.sabotage:
            rig.paths = (str(Path(__file__).resolve().parent.parent),)
            rig.entry = ("-m", "oracle.order_campaign_sabotage", self.plan.sabotage)
        return rig

    # -- the whole -----------------------------------------------------------------------

    def run(self) -> Report:
        """Trade until so many orders were sent, end it, audit it."""
        begun_ns = monotonic_ns()
        try:
            self._open()
            self._trade()
            self._end()
        except AssertionError as error:
            self._complain(f"{error}"[-COMPLAINT_CHARS:])
        finally:
            self._rig.close()
            self._ledger.close()
        self.report.seconds = round((monotonic_ns() - begun_ns) / 1e9, 1)
        return self.report

    def _open(self) -> None:
        rig = self._rig
        keys = [one["private_key"] for one in rig.venue.ready["accounts"][1:3]]
        self._desk = Desk(rig.venue.url, keys, self._random, self.plan.seed)
        self._me = Trader(rig.venue.url, rig.key, self.plan.seed)
        assert self._me.login() is not None
        for index in MARKETS:
            row = rig.instance.catalog.load(index)
            assert row is not None
            bid, ask = rig.top(index)
            place = Place(
                index, _text(row["condition_id"]),
                (_text(row["token_yes"]), _text(row["token_no"])),
                bool(row["neg_risk"]), rig.tick(index), bid, ask,
            )  # fmt: skip
            self._markets.append(self._desk.open(place))
        rig.publish_books()
        self._shuffle_ways()
        rig.start()

    def _trade(self) -> None:
        rig, plan = self._rig, self.plan
        best, moved_ns = 0, monotonic_ns()
        while (sent := rig.count(Value.ORDERS_SENT)) < plan.orders:
            if sent > best or rig.meters.segment.state != READY:
                best, moved_ns = sent, monotonic_ns()
            assert monotonic_ns() - moved_ns < STALL_S * 1e9, (
                f"stalled at {sent} orders: {_log(rig)}"
            )
            self._publish()
            rig.venue.control("faults", switch="post-only-after", value=POST_ONLY_AFTER_S)
            if not self._bursts % self._calm:
                for _ in range(self._random.randint(1, 2)):
                    rig.venue.control("faults", **self._deck.deal())
            self._burst()

    def _burst(self) -> None:
        random = self._random
        before = self._rig.count(Value.ORDERS_SENT)
        count = random.randint(*BURST)
        victim_at = {
            name: random.randrange(count)
            for name, chance in KILL_CHANCE.items()
            if self.plan.kills
            and random.random() < chance / self._calm
            and self._killed[name] < KILLS_MAX[name]
        }
        if not self._bursts % FLIP_BURSTS:
            self._turn_round()
        for step in range(count):
            self._act()
            self._pause.wait(random.random() * PAUSE_S)
            for name in [one for one, at in victim_at.items() if at == step]:
                self._kill(name)
        with self._patience():
            self._rig.until(self._has_room, alive=False)
        self._bursts += 1
        if self._rig.count(Value.ORDERS_SENT) == before:
            self._pause.wait(REFUSED_S)  # orders are paused: whoever goes on is only refused

    def _has_room(self) -> bool:
        self._watch()
        return self._rig.ring.cursor - self._rig.ring.head < RING_ROOM

    def _kill(self, name: str) -> None:
        """kill -9 right behind an action, and start it again."""
        self._pause.wait(self._random.random() * 0.01)
        self._watch()
        if name == "executor":
            self._rig.kill()
            self._shuffle_ways()
            self._start(wait=self._random.random() < 0.5)
        elif name == "exchange":
            self._rig.venue.restart()
        elif name == "database":
            assert self._rig.child is not None
            what = self._ledger.trouble(self._random, self._rig.child.pid)
            if not what:
                return  # there was nothing to hit
            self._killed[f"database {what}"] += 1
        self._killed[name] += 1

    def _shuffle_ways(self) -> None:
        """The next executor lets orders out in one call, or goes the ordinary way alone.

        What is broken on purpose is broken in the ordinary way: the call's records are compared
        with what that would have written, and an executor that contradicts itself just ends.
        """
        rig = self._rig
        permits = self._random.random() < PERMITS_CHANCE and not self.plan.sabotage
        execute = rig.settings.execute.model_copy(update={"pool_permits": permits})
        rig.settings = rig.settings.model_copy(update={"execute": execute})
        rig.write_settings()

    def _watch(self) -> None:
        """An executor that ends by itself is a finding; it is started again."""
        child = self._rig.child
        assert child is not None
        if child.poll() is not None:
            self.report.crashes += 1
            self._complain(
                f"the executor ended by itself, status {child.returncode}: {_log(self._rig)}"
            )
            assert self.report.crashes < 3, "the executor ends again and again"
            self._start(wait=False)

    def _start(self, *, wait: bool) -> None:
        with self._patience():
            self._rig.start(wait=wait)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        self._rig.patience_s = START_PATIENCE_S
        yield
        self._rig.patience_s = PATIENCE_S

    def _complain(self, text: str) -> None:
        if len(self.report.complaints) < COMPLAINTS_MAX:
            self.report.complaints.append(text)

    # -- books ---------------------------------------------------------------------------

    def _publish(self) -> None:
        """Bring the board up to date, and the walls; what cannot be read stays as it was."""
        books = self._desk.books(self._markets)
        for market in self._markets:
            book = books.get(market.tokens[0])
            if book is None or not book["bids"] or not book["asks"]:
                continue
            row = self._rig.board.load(market.index)
            assert row is not None
            row["tick_ticks"] = parse_price(book["tick_size"])
            for side in ("bid", "ask"):
                best = book[f"{side}s"][-1]
                row[f"{side}_ticks"][0] = parse_price(best["price"])
                row[f"{side}_lots"][0] = parse_size(best["size"])
            self._rig.board.store(market.index, row)
            self._desk.mend(market, book)

    # -- actions -------------------------------------------------------------------------

    def _act(self) -> None:
        actions: list[tuple[int, Callable[[], None]]] = [
            (40, self._take), (15, self._usual), (22, self._rest), (8, self._cross),
            (8, self._plan), (5, self._cancel), (25, self._hit),
        ]  # fmt: skip
        weights, choices = zip(*actions, strict=True)
        action = self._random.choices(choices, weights)[0]
        self._done[action.__name__.removeprefix("_")] += 1
        action()

    def _push(self, market: Place, **changes: Any) -> int:
        return self._rig.push(
            market=market.index, expires_ns=monotonic_ns() + TTL_NS, event_recv_ns=0, **changes
        )

    def _direction(self, market: Place) -> int:
        """0: the account wants YES of it now, 1: NO. It turns round, or it would meet itself."""
        return (self._bursts // FLIP_BURSTS + market.index) % 2

    def _turn_round(self) -> None:
        """Cancel what rests: it would stand in the way of what is wanted next."""
        for sequence, *_ in self._rests:
            self._rig.push(flags=2, target_sequence=sequence, expires_ns=0)
        self._rests.clear()

    def _wish(self) -> tuple[Place, int, dict[str, int]]:
        """A market, its direction, and outcome, side and size of an order in that direction."""
        random = self._random
        market = random.choice(self._markets)
        direction = self._direction(market)
        lots = int(random.choice(SIZES) * SHARE)
        held = self._held(market, 1 - direction)
        if held >= 5 * SHARE and random.random() < 0.6:  # sell the other token
            return market, direction, {
                "outcome": 1 - direction, "side": 1, "size_lots": min(lots, held)
            }  # fmt: skip
        return market, direction, {"outcome": direction, "side": 0, "size_lots": lots}

    def _held(self, market: Place, outcome: int) -> int:
        """Settled shares of a token, in whole hundredths."""
        rows = Slots(self._rig.instance.segment("account-0")).load_all()
        found = rows[
            (rows["kind"] == AccountKind.POSITION)
            & (rows["market"] == market.index)
            & (rows["outcome"] == outcome)
        ]
        return int(found["confirmed_lots"].sum()) // 10_000 * 10_000

    def _take(self) -> None:
        """Trade at the wall: FAK or FOK, sometimes more than the best level has."""
        market, direction, wish = self._wish()
        yes_ticks = market.bid_ticks if direction else market.ask_ticks
        kind = self._random.choice((2, 3, 3))
        if kind == 3 and wish["side"] == 0 and self._random.random() < 0.1:
            wish["size_lots"] *= 30
        price = market.price(wish["outcome"], yes_ticks)
        self._push(market, **wish, price_ticks=price, order_type=kind)

    def _usual(self) -> None:
        """What a strategy does again and again, with a breath before it: the pool's order."""
        market = self._markets[self._bursts // FLIP_BURSTS % len(self._markets)]
        outcome = self._direction(market)
        yes_ticks = market.bid_ticks if outcome else market.ask_ticks
        price = market.price(outcome, yes_ticks)
        self._pause.wait(BREATH_S)
        self._push(market, outcome=outcome, price_ticks=price, order_type=3)

    def _rest(self) -> None:
        """Rest an order between the walls or at one, often post-only, sometimes with an end."""
        market, direction, wish = self._wish()
        inside = self._random.randint(0, 2) * market.tick_ticks
        yes_ticks = market.ask_ticks - inside if direction else market.bid_ticks + inside
        price = market.price(wish["outcome"], yes_ticks)
        flags = int(self._random.random() < 0.5)
        life = {"order_type": 0}
        if self._random.random() < 0.3:
            life = {"order_type": 1, "expiration_s": epoch_ms() // 1_000 + LIFE_S}
        sequence = self._push(market, **wish, **life, price_ticks=price, flags=flags)
        rest = (sequence, market, wish["outcome"], wish["side"], price, wish["size_lots"])
        self._rests.append(rest)
        if len(self._rests) > RESTS_KEPT:
            oldest, *_ = self._rests.pop(0)
            self._rig.push(flags=2, target_sequence=oldest, expires_ns=0)

    def _cross(self) -> None:
        """A GTC order that trades at once; what the wall does not give rests."""
        market, direction, wish = self._wish()
        yes_ticks = market.bid_ticks if direction else market.ask_ticks
        price = market.price(wish["outcome"], yes_ticks)
        self._push(market, **wish, price_ticks=price, order_type=0)

    def _plan(self) -> None:
        """Some NO of one exhaustive set, all or nothing as far as the gate is concerned."""
        first = self._rig.producer.next_sequence
        legs = self._random.randint(2, len(SET_MARKETS))
        for leg, index in enumerate(self._random.sample(SET_MARKETS, legs)):
            bid, _ = self._rig.top(index)
            self._rig.push(
                plan=first, leg=leg, legs=legs, market=index, outcome=1, event_recv_ns=0,
                price_ticks=10_000 - bid, size_lots=5 * SHARE, expires_ns=monotonic_ns() + TTL_NS,
            )  # fmt: skip

    def _cancel(self) -> None:
        """Cancel an order that may rest."""
        if self._rests:
            sequence, *_ = self._random.choice(self._rests)
            self._rig.push(flags=2, target_sequence=sequence, expires_ns=0)

    def _hit(self) -> None:
        """Another member trades against an order that may rest."""
        if self._rests:
            _, market, outcome, side, price, lots = self._random.choice(self._rests)
            self._desk.hit(market, outcome, side, price, lots)

    # -- the end -------------------------------------------------------------------------

    def _end(self) -> None:
        """Faults off, everything cancelled and settled, executor stopped, files audited."""
        rig = self._rig
        rig.venue.control("faults", clear=True)
        self._watch()
        rig.until(lambda: rig.ring.head == rig.ring.cursor)
        KillLatch(rig.instance.segment("kill")).set(KillReason.OPERATOR, monotonic_ns())
        self._settle()
        self._desk.close()
        self.report.permits = rig.count(Value.PERMITS_USED)
        status = rig.stop()
        if status:
            self._complain(f"the executor stopped with status {status}: {_log(rig)}")
        self._ledger.catch_up(rig.folder / JOURNAL_FOLDER, rig.settings.instance)
        self._judge(audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address))

    def _settle(self) -> None:
        """Wait until nothing is reserved or pending; what never comes to rest is audited too."""
        rig = self._rig
        if self.plan.sabotage:
            rig.patience_s = SABOTAGED_PATIENCE_S
        try:
            rig.wait_settled()
        except AssertionError as error:
            self._complain(f"the account never came to rest: {error}"[-COMPLAINT_CHARS:])
        rig.patience_s = PATIENCE_S

    def _judge(self, found: Audit) -> None:
        report = self.report
        report.address, report.orders = self._rig.address, found.sent
        report.faults = dict(sorted(found.faults.items()))
        report.kills = sum(self._killed[name] for name in KILL_CHANCE)
        report.killed = dict(self._killed)
        report.done = dict(self._done)
        report.sent_twice = len(found.sent_twice)
        report.sent_without_journal = len(found.unjournaled)
        report.unaccounted = len(found.unaccounted) + len(found.unfinished)
        report.ledger_difference_micro = found.difference_micro + self._compare_balances()
        report.ledger_difference_micro += self._compare_database(found)
        report.ledger_difference_micro += self._compare_rebates()
        report.intents, report.accepted = found.intents, found.accepted
        report.fills, report.failed, report.forms = found.fills, found.failed, dict(found.forms)
        for text in found.complaints():
            self._complain(text)

    def _compare_balances(self) -> int:
        """What the exchange itself says every member has, against its log; summed differences."""
        log, difference = self._rig.venue.log(), 0
        for trader in (self._me, *self._desk.traders):
            books = exchange_books(log, trader.address)
            said = {"": trader.balance()}
            said |= {token: trader.balance(token) for token in books.lots}
            for token, seen in said.items():
                wanted = books.lots[token] if token else books.cash_micro
                if seen != wanted:
                    difference += abs((seen or 0) - wanted)
                    name = f"token {token[:12]}" if token else "cash"
                    self._complain(f"{trader.address} {name}: log {wanted}, exchange {seen}")
            trader.close()
        return difference

    def _compare_rebates(self) -> int:
        """Pay the makers of today: each must get what the log's trades say, to the micro-unit."""
        venue, difference = self._rig.venue, 0
        traders = (self._me, *self._desk.traders)
        before = {one.address: one.balance() or 0 for one in traders}
        fees = schedules(venue.get("/events/keyset?limit=100")["events"])
        day = epoch_ms() // DAY_MS
        venue.control("rebates", day=day)
        wanted = rebates(venue.log(), fees, day)
        for one in traders:
            paid = (one.balance() or 0) - before[one.address]
            self.report.rebates_micro += paid
            if paid != wanted[one.address]:
                difference += abs(paid - wanted[one.address])
                self._complain(f"{one.address} rebate: log {wanted[one.address]}, paid {paid}")
            one.close()
        return difference

    def _compare_database(self, found: Audit) -> int:
        """The database against the journal, and its sums against its own fills."""
        last = max((raw.sequence for raw in replay(self._rig.folder / JOURNAL_FOLDER)), default=0)
        projected = self._ledger.sequence()
        if projected != last:
            self._complain(f"the database stands at record {projected} of {last}")
        books = self._ledger.books()
        difference = books.difference_micro(found.exchange)
        difference += books.difference_micro(self._ledger.own_sums())
        if difference:
            self._complain(f"database {books}, its own sums {self._ledger.own_sums()}")
        return difference


def _text(value: bytes) -> str:
    return bytes(value).rstrip(b"\0").decode("ascii")


def _log(rig: Rig) -> str:
    return (rig.folder / "executor.log").read_text(encoding="utf-8")[-1_500:]
