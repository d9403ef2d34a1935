"""Every setting: unit in the name, default, range, and why.

One TOML file describes an instance; secrets never stand in it, only where to find them.
Unknown keys are refused, so that a misspelt limit cannot silently stay at its default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ARMED_VARIABLE = "OVERROUND_ARMED"
"""Set to 1 for the executor by whoever checked --arm; without it mode live refuses every order."""

_PRODUCTION = "polymarket.com"

Count = Annotated[int, Field(ge=1)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
Cash = Annotated[int, Field(ge=0)]


class Mode(StrEnum):
    """What orders mean in this instance; shown on every screen, log line and metric."""

    SIM = "sim"  # the exchange in the box; its money is play money
    SHADOW = "shadow"  # live data; orders are built, signed, gated, logged, not sent
    LIVE = "live"  # orders are sent: needs --arm


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Venue(_Section):
    """Where the venue answers. The defaults are Polymarket's production hosts."""

    rest_url: str = "https://clob.polymarket.com"
    """Host of the order and market REST interface."""
    gamma_url: str = "https://gamma-api.polymarket.com"
    """Host of market discovery."""
    ws_market_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    """Market channel."""
    ws_user_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    """User channel: our orders and trades."""
    chain_id: int = 137
    """Chain that orders are signed for: 137 Polygon, 80002 its test net."""
    event_slugs: tuple[str, ...] = ()
    """Events to trade; empty takes every open event that discovery returns."""
    discovery_interval_s: Seconds = 30
    """How often new markets are looked for while running."""
    request_timeout_ms: Milliseconds = 5_000
    """Deadline of one REST request; an order past it has an unknown outcome."""


def is_production(venue: Venue) -> bool:
    """Return whether orders would go to the venue itself: a host under its domain."""
    host = urlsplit(venue.rest_url).hostname or ""
    return host == _PRODUCTION or host.endswith("." + _PRODUCTION)


class Account(_Section):
    """Who trades. The key itself is read from the environment or a 0600 file."""

    name: str = "main"
    """Name of the account in logs and reports."""
    private_key_env: str = "OVERROUND_PRIVATE_KEY"
    """Environment variable that holds the key when no file is named."""
    private_key_file: Path | None = None
    """File of mode 0600 that holds the key; wins over the environment."""
    signature_type: Annotated[int, Field(ge=0, le=3)] = 0
    """0 EOA, 1 POLY_PROXY, 2 POLY_GNOSIS_SAFE, 3 POLY_1271 (deposit wallet)."""
    funder: str = ""
    """Wallet that holds the funds (types 1 to 3); empty means the key's own address."""


class Capacity(_Section):
    """Sizes of the shared regions; fixed for the life of an instance."""

    markets: Annotated[int, Field(ge=1, le=65_536)] = 1_024
    """Most markets one instance can follow; the catalog never reuses an index."""
    changes_records: Annotated[int, Field(ge=64, le=2**22)] = 16_384
    """Power of two. 16,384 records are 1 MiB and about a minute of a hot venue."""
    trades_records: Annotated[int, Field(ge=64, le=2**22)] = 16_384
    """Power of two. Prints and market events, not conflatable."""
    intents_records: Annotated[int, Field(ge=16, le=2**16)] = 1_024
    """Power of two. A full ring drops the new intent at its source, counted."""
    reports_records: Annotated[int, Field(ge=64, le=2**20)] = 4_096
    """Power of two. News of orders and fills; the journal is the truth."""
    tap_segment_bytes: Annotated[int, Field(ge=2**20, le=2**30)] = 64 * 2**20
    """Size of one preallocated file of the tap."""
    tap_segments_max: Annotated[int, Field(ge=1, le=10_000)] = 64
    """At the limit the tap stops, alarms and marks the gap; it never overwrites."""

    @model_validator(mode="after")
    def _powers_of_two(self) -> Self:
        for name in ("changes_records", "trades_records", "intents_records", "reports_records"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"{name} = {value} is not a power of two")
        return self


class Ingress(_Section):
    """Trust in the stream: how long to wait before doubting it."""

    assets_per_socket: Annotated[int, Field(ge=2, le=500)] = 200
    """Above about 500 the venue silently sends no snapshots (facts of the venue)."""
    burst_ms: Milliseconds = 2
    """A burst is over this long after its last frame, should no later one end it."""
    hash_pending_ms: Milliseconds = 250
    """A hash mismatch waits this long for the print that may explain it."""
    hash_audit_every: Annotated[int, Field(ge=0, le=1_000_000)] = 8
    """Verify the full hash of one burst in this many; 1 all, 0 none."""
    ping_interval_ms: Milliseconds = 10_000
    """How often the venue's text PING is sent."""
    pong_timeout_ms: Milliseconds = 30_000
    """A socket without PONG for this long is dead."""
    silence_ms: Milliseconds = 30_000
    """A market without data for this long is compared with the REST book."""
    socket_silence_ms: Milliseconds = 60_000
    """A socket that answers PONG but brings no data for this long is dead."""
    snapshot_timeout_ms: Milliseconds = 5_000
    """A subscription without its snapshot for this long is repeated, then asked by REST."""
    reconnect_delay_ms: Milliseconds = 250
    """First delay of the full-jitter backoff; doubles up to reconnect_delay_max_ms."""
    reconnect_delay_max_ms: Milliseconds = 30_000
    """Longest delay of the backoff."""
    frame_bytes_max: Annotated[int, Field(ge=65_536, le=2**28)] = 16 * 2**20
    """A larger message closes the socket; it is counted as too large."""
    native: Annotated[str, Field(pattern="^(auto|on|off)$")] = "auto"
    """io_uring for the market sockets: auto takes it where it is to be had and says why not
    elsewhere, on refuses to start without it, off leaves them to picows."""
    native_shape: Annotated[str, Field(pattern="^(loop|thread|spin)$")] = "loop"
    """Who drives the ring: the event loop; a thread of its own that sleeps in the kernel; one that
    never sleeps, which wants a CPU of its own."""
    busy_loop: bool = False
    """Never let the event loop sleep: some microseconds less a message, for a whole CPU."""


class Detect(_Section):
    """Detectors and the strategies they feed."""

    strategies: tuple[str, ...] = ("set_arbitrage",)
    """Names of entry points in the group overround.strategies."""
    edge_min_micro_per_share: Annotated[int, Field(ge=0, le=1_000_000)] = 2_000
    """Net edge after fees below which a complete set is left alone (0.2 cent)."""
    size_max_lots: Annotated[int, Field(ge=1_000_000)] = 200_000_000
    """Largest size of one set (200 shares)."""
    cooldown_ms: Milliseconds = 250
    """After an intent on a set, the set is left alone this long: orders are in flight."""
    intent_ttl_ms: Milliseconds = 500
    """An intent older than this is refused by the executor."""


class Risk(_Section):
    """Limits that the gate enforces before every send. Amounts in micro-units."""

    order_notional_max_micro: Cash = 500_000_000
    """Largest cost of one order (500 dollars)."""
    market_position_max_lots: Annotated[int, Field(ge=0)] = 5_000_000_000
    """Largest position in one token, open orders included."""
    account_notional_max_micro: Cash = 20_000_000_000
    """Open orders plus cost of positions, over the whole account."""
    loss_max_micro: Cash = 1_000_000_000
    """Realised and worst-case loss since start at which the kill latch is set."""
    collar_ticks: Annotated[int, Field(ge=0, le=10_000)] = 300
    """How far through the trusted best price an order may reach."""
    orders_per_s_max: Count = 40
    """Sustained orders a second and account."""
    orders_burst_max: Count = 60
    """The venue's own Standard tier refills 40 a second with a burst of 60."""
    cancels_per_s_max: Count = 80
    """Strategies' cancels a second; more wait. The executor's own and kill are not counted."""
    cancels_burst_max: Count = 120
    """The venue's own Standard tier allows cancels at twice the rate of orders."""
    order_size_max_lots: Annotated[int, Field(ge=1)] = 2_000_000_000
    """Largest order in shares (2,000): a typing mistake in a cheap market passes every limit
    in cash."""
    open_orders_max: Count = 1_000
    """Orders of the account that may still trade; one cancel request takes no more."""
    market_open_orders_max: Count = 50
    """Orders of one market that may still trade."""
    same_in_flight_max: Count = 1
    """Orders of the same token, side and price whose answer is still awaited: one more is
    taken for a strategy that repeats itself."""
    self_cross_allowed: bool = False
    """Whether an order may meet an own resting one; the venue would let us trade with
    ourselves and charge the fee."""
    market_notional_max_micro: Cash = 5_000_000_000
    """Cost of what is held of a market plus reservations (5,000 dollars)."""
    market_loss_max_micro: Cash = 5_000_000_000
    """Most that a market can cost at worst since its first fill, open orders included; seen by
    itself: what other members of its set make up for counts in event_loss_max_micro."""
    event_position_max_lots: Annotated[int, Field(ge=0)] = 20_000_000_000
    """Shares of all tokens of a complete set, held and being bought (20,000)."""
    event_notional_max_micro: Cash = 10_000_000_000
    """Cost of what is held of a complete set plus reservations."""
    event_loss_max_micro: Cash = 2_500_000_000
    """Most that a complete set can cost at worst, whoever wins, open orders included."""
    strategy_position_max_lots: Annotated[int, Field(ge=0)] = 50_000_000_000
    """Shares that one strategy holds and is buying."""
    strategy_notional_max_micro: Cash = 20_000_000_000
    """Cost of what one strategy holds plus its reservations."""
    strategy_loss_max_micro: Cash = 5_000_000_000
    """Most that one strategy can lose at worst since the UTC day began."""
    account_position_max_lots: Annotated[int, Field(ge=0)] = 100_000_000_000
    """Shares of all tokens, held and being bought."""
    account_loss_max_micro: Cash = 10_000_000_000
    """Most that the account can lose at worst since the UTC day began, if everything open
    fills and every outcome goes wrong."""
    daily_loss_max_micro: Cash = 1_000_000_000
    """Fall of the account's worth since the UTC day began at which the kill latch is set.
    Worth counts a set at what its bids pay now or at what it redeems for at worst, if more."""
    drawdown_max_micro: Cash = 2_000_000_000
    """Fall of the account's worth from its highest ever at which the kill latch is set."""


class Execute(_Section):
    """The order path."""

    journal_segment_bytes: Annotated[int, Field(ge=2**16, le=2**30)] = 16 * 2**20
    """Size of one preallocated file of the journal."""
    journal_sync: Annotated[str, Field(pattern="^(none|batch|record)$")] = "batch"
    """none: lost with the machine; batch: fsync every journal_sync_ms; record: every record.
    All three survive the death of any process."""
    journal_sync_ms: Milliseconds = 50
    """Longest time a record waits for its fsync in mode batch."""
    done_orders_max: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    """Orders that are done and settled stay in memory until this many others ended after them
    (about 4 KiB each); then they are read from the journal if anybody speaks of one again."""
    unknown_quiet_ms: Milliseconds = 3_000
    """An unknown outcome stays reserved at least this long after the last byte was sent."""
    settle_alarm_ms: Milliseconds = 60_000
    """A match that has not settled for this long alarms."""
    pool_orders_max: Annotated[int, Field(ge=0, le=4_096)] = 256
    """Orders signed ahead of their intents, each used at most once; 0 signs none ahead."""
    pool_reach_ticks: Annotated[int, Field(ge=0, le=20)] = 2
    """Prices signed ahead to either side of the best, in ticks of the market."""
    pool_age_max_ms: Milliseconds = 60_000
    """An order signed ahead is not used later than this. The venue states no limit to the age of
    the signed timestamp; a minute stays plausible to any."""
    pool_permits: bool = True
    """Let single orders out in one native call where the gate said in numbers that there is room:
    signed ahead a quarter of the time, else half of it. False sends every order the ordinary way.
    Plans, GTD orders and official clients go that way always."""
    orphan_orders: Annotated[str, Field(pattern="^(cancel|adopt|leave)$")] = "cancel"
    """Open orders of the account that no journal record speaks of: cancel them, because nobody
    watches them; adopt them as ours; or leave them to whoever placed them."""
    heartbeat_interval_ms: Annotated[int, Field(ge=0, le=9_000)] = 3_000
    """How often the venue's dead-man switch is fed; it cancels everything 10 s after the last
    beat, so that two may be lost. 0 never begins it: what rests outlives a dead executor."""
    reconcile_interval_ms: Milliseconds = 5_000
    """How often open orders and recent trades are compared with the venue by REST."""
    client: Annotated[str, Field(pattern="^(native|py-clob-client-v2|py-clob-client)$")] = "native"
    """Who speaks to the venue: our own connections, or an official client (install it with
    overround[clients]); py-clob-client serves exchanges of order version 1 only."""
    connections: Annotated[int, Field(ge=3, le=64)] = 8
    """Connections kept open; one is left to cancels, one more to orders and cancels."""
    connection_requests_max: Annotated[int, Field(ge=1, le=1_000_000)] = 9_000
    """A connection is replaced after this many requests: the venue drops it at 10,000."""
    connection_age_max_s: Seconds = 600
    """A connection is replaced at this age, so that a change of address is followed."""
    order_tokens_per_s: Count = 40
    """Orders a second that the venue lets one signer send (its Standard tier)."""
    order_tokens_burst: Count = 60
    """Orders at once; an order waits for its tokens until its deadline, then is refused."""
    cancel_tokens_per_s: Count = 80
    """Cancelled ids a second that the venue lets one signer send."""
    cancel_tokens_burst: Count = 120
    """Cancelled ids at once."""
    cancel_tokens_reserve: Annotated[int, Field(ge=0)] = 20
    """Tokens of cancel_tokens_burst that only cancel-all may take; it never waits."""
    clock_offset_max_ms: Milliseconds = 5_000
    """Orders stop while the venue's clock differs by more: logins and expirations would be wrong.
    The venue tells whole seconds, so half a second more is allowed for."""
    plan_repair: Annotated[str, Field(pattern="^(complete|unwind|leave)$")] = "complete"
    """Missed legs of a plan: complete them or sell the others back, whichever is better by the
    book; unwind: always sell back; leave: neither."""
    plan_slip_ticks: Annotated[int, Field(ge=0, le=10_000)] = 200
    """How far beyond its leg's price a missed leg may be completed; part of the worst case."""
    plan_unwind_ticks: Annotated[int, Field(ge=0, le=10_000)] = 1_000
    """How far from its leg's price a filled leg may be sold back (ten cents)."""
    plan_worst_max_micro: Cash = 500_000_000
    """Largest loss that one plan may come to, whatever fills (500 dollars)."""
    plan_deadline_ms: Milliseconds = 30_000
    """A plan is repaired no longer than this: shares settle within seconds, books move on."""
    quote_interval_ms: Milliseconds = 10
    """How often wanted quotes are compared with working ones: as long a new one may wait."""
    quote_hysteresis_ticks: Annotated[int, Field(ge=0, le=10_000)] = 0
    """A quote that differs no more than this from the wanted price stays, with its place."""
    quote_hysteresis_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 100_000
    """A quote that differs no more than this share of the wanted size stays (a tenth)."""
    quote_life_min_ms: Milliseconds = 500
    """A quote stands at least this long before a better price replaces it; retreats never wait."""


class Ledger(_Section):
    """The database that the journal is projected into; trading never waits for it."""

    projection: bool = True
    """False leaves the journal alone; it can be projected at any later time."""
    database_url: str = ""
    """Empty: SQLite in the run's folder. Else sqlite:///path or postgresql://user@host/name; a
    password belongs into OVERROUND_DATABASE_URL (which wins over this), PGPASSWORD or .pgpass."""
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Most journal records in one transaction: what a failed one repeats."""
    poll_ms: Milliseconds = 50
    """How often an idle projector looks for new records."""
    stop_limit_ms: Milliseconds = 2_000
    """Longest time a stop waits for the projection; what is left is projected at the next start."""

    @field_validator("database_url")
    @classmethod
    def _no_password(cls, value: str) -> str:
        if re.search(r"://[^/@]*:[^/@]*@|password=", value):
            raise ValueError("holds a password: move it to OVERROUND_DATABASE_URL or PGPASSWORD")
        return value


class Supervise(_Section):
    """Processes."""

    trust_lease_ms: Milliseconds = 500
    """A book is usable only while its owner's heartbeat is younger than this."""
    beat_interval_ms: Milliseconds = 10
    """How often a process says that it is alive."""
    beat_timeout_ms: Milliseconds = 10_000
    """A process without a beat for this long is killed and started again."""
    restarts_max: Annotated[int, Field(ge=0, le=1_000)] = 5
    """Restarts of one process within restart_window_s; one more stops the instance."""
    restart_window_s: Seconds = 60
    """Window in which restarts_max counts."""
    stop_timeout_ms: Milliseconds = 5_000
    """A process that has not stopped by then is killed."""


class Cpu(_Section):
    """Where processes run, and how they wait."""

    pin: Annotated[str, Field(pattern="^(auto|off)$")] = "auto"
    """auto gives each process a core of its own where we have at least four, with its
    hyper-threads left idle; off leaves that to the kernel."""
    cpus: tuple[Annotated[int, Field(ge=0, le=4_095)], ...] = ()
    """CPUs for ingress, detectors, executor, in that order; empty lets pin choose them."""
    native_cpus: tuple[Annotated[int, Field(ge=0, le=4_095)], ...] = ()
    """Where a ring's own thread runs (ingress.native_shape thread or spin): no other process gets
    these cores. Empty leaves it with the ingress."""
    interface: str = ""
    """Network card on whose memory node we sit; empty takes the card of the default route."""
    wait: Annotated[str, Field(pattern="^(auto|spin|adaptive|sleep)$")] = "auto"
    """auto spins for ever on CPUs that are kept apart, else a moment before each sleep. Below four
    cores nobody spins for ever, and no more processes spin than there are cores."""
    spin_us: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    """How long adaptive spins before it sleeps: four times what a wake-up costs."""
    partition: bool = False
    """Keep the chosen CPUs apart by an isolated partition of cgroup v2 while the instance runs;
    needs root. Where it cannot be had, one line says why."""
    fifo_priority: Annotated[int, Field(ge=0, le=50)] = 0
    """Real-time priority of the executor's loop; 0 none. Not where it spins, and not without the
    kernel's throttle: it could lock a CPU up."""


class Memory(_Section):
    """The heap of each process."""

    jemalloc: Annotated[str, Field(pattern="^(auto|on|off)$")] = "auto"
    """jemalloc by preload: auto where installed, on demands it, off never."""
    jemalloc_for: tuple[str, ...] = ("detector",)
    """Roles that run under it: ingress, detector, executor."""
    growth_max_mib: Annotated[int, Field(ge=1, le=1_048_576)] = 512
    """Objects are collected young, between messages. A process that has grown by this much since
    its start (or the last time) collects everything at once, counted: it stops for that long."""


_MOVED = (
    ("supervise", "cpus", "cpu"),
    ("supervise", "jemalloc", "memory"),
    ("detect", "spin_us", "cpu"),
    ("ingress", "native_cpus", "cpu"),
)


class Settings(_Section):
    """One instance."""

    instance: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,23}$")] = "default"
    """Name of the instance; part of every shared-memory segment's name."""
    mode: Mode = Mode.SHADOW
    """sim, shadow or live; see the commands."""
    run_dir: Path = Path("runs")
    """Journal, tap, logs and ledger live in run_dir/instance."""
    venue: Venue = Venue()
    account: Account = Account()
    capacity: Capacity = Capacity()
    ingress: Ingress = Ingress()
    detect: Detect = Detect()
    risk: Risk = Risk()
    execute: Execute = Execute()
    ledger: Ledger = Ledger()
    supervise: Supervise = Supervise()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, table: object) -> object:
        """Take settings from where they stood before 0.1.0."""
        if not isinstance(table, Mapping):
            return table
        found = dict(table)
        for old, key, new in _MOVED:
            section = found.get(old)
            if isinstance(section, Mapping) and key in section:
                target = found.get(new, {})
                if not isinstance(target, Mapping) or key in target:
                    raise ValueError(f"{old}.{key} is now {new}.{key}: remove the old one")
                found[old] = {name: value for name, value in section.items() if name != key}
                found[new] = {**target, key: section[key]}
        return found

    @property
    def instance_dir(self) -> Path:
        """Folder of this instance's journal, tap, logs and ledger."""
        return self.run_dir / self.instance
