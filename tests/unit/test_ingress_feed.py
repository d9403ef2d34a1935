"""The market channel's decisions, told time and events by hand: no socket, no clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest

from overround.clock import NS_PER_MS
from overround.config.schema import Ingress
from overround.ingress.feed import (
    Action,
    Close,
    CloseReason,
    Connect,
    FetchBooks,
    FetchPurpose,
    MarketFeed,
    Resubscribed,
    Send,
    Untrust,
)
from overround.layout.board import UntrustCause

S = 1_000 * NS_PER_MS
START = 1_000 * S
SETTINGS = Ingress(assets_per_socket=4)


class Texts:
    """Frames as a word and their tokens, so that a claim can name them."""

    PING = "ping"

    def market_hello(self, token_ids: Iterable[str]) -> str:
        return "open " + ",".join(token_ids)

    def market_subscribe(self, token_ids: Iterable[str]) -> str:
        return "add " + ",".join(token_ids)

    def market_unsubscribe(self, token_ids: Iterable[str]) -> str:
        return "drop " + ",".join(token_ids)


class States:
    """Books as a test declares them: trusted markets and when each was last heard."""

    def __init__(self) -> None:
        self.heard: dict[int, int] = {}
        self.good: set[int] = set()

    def trusted(self, index: int) -> bool:
        return index in self.good

    def heard_ns(self, index: int) -> int:
        return self.heard.get(index, 0)


@pytest.fixture
def books() -> States:
    return States()


def make_feed(settings: Ingress = SETTINGS, seed: int = 7) -> MarketFeed:
    return MarketFeed(settings, Texts(), random.Random(seed))


def opened(feed: MarketFeed, books: States, count: int, now_ns: int = START) -> list[Action]:
    """Follow ``count`` markets and open every connection asked for."""
    feed.add_markets(((i, f"y{i}", f"n{i}") for i in range(count)), now_ns)
    actions = feed.on_timer(now_ns, books)
    sent: list[Action] = []
    for action in actions:
        assert isinstance(action, Connect)
        sent += feed.on_connected(action.connection, now_ns)
    return sent


def trust(books: States, now_ns: int, *indices: int) -> None:
    for index in indices:
        books.good.add(index)
        books.heard[index] = now_ns


def run(feed: MarketFeed, books: States, start_ns: int, end_ns: int, step_ms: int = 10) -> list:
    """Call the timer as the process does; return (when, action) pairs."""
    seen = []
    for now_ns in range(start_ns, end_ns, step_ms * NS_PER_MS):
        seen += [(now_ns, action) for action in feed.on_timer(now_ns, books)]
    return seen


def of(seen: list, kind: type) -> list:
    return [action for _, action in seen if isinstance(action, kind)]


def test_both_tokens_of_a_market_share_a_socket_and_sockets_are_full_first(books: States) -> None:
    sent = opened(make_feed(), books, 5)
    assert sent == [Send(1, "open y0,n0,y1,n1"), Send(2, "open y2,n2,y3,n3"), Send(3, "open y4,n4")]


def test_odd_asset_limit_never_splits_a_market(books: States) -> None:
    sent = opened(make_feed(Ingress(assets_per_socket=3)), books, 2)
    assert sent == [Send(1, "open y0,n0"), Send(2, "open y1,n1")]


def test_market_added_while_open_is_subscribed_on_the_same_socket(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    assert feed.add_market(9, "y9", "n9", START) == [Send(1, "add y9,n9")]


def test_markets_added_together_go_in_one_frame(books: States) -> None:
    feed = make_feed(Ingress(assets_per_socket=20))
    opened(feed, books, 1)
    added = feed.add_markets([(5, "a", "b"), (6, "c", "d")], START)
    assert added == [Send(1, "add a,b,c,d")]


def test_known_market_and_known_token_are_not_subscribed_twice(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    assert feed.add_market(0, "y0", "n0", START) == []
    assert feed.add_market(1, "y0", "other", START) == []
    assert feed.markets == 1


def test_removed_market_is_unsubscribed_and_its_place_used_again(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 2)
    assert feed.remove_market(0, START) == [Send(1, "drop y0,n0")]
    assert feed.remove_market(0, START) == []
    assert feed.add_market(7, "y7", "n7", START) == [Send(1, "add y7,n7")]


def test_socket_without_markets_is_closed_and_opened_again_when_needed(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    assert feed.remove_market(0, START) == [Close(1, CloseReason.UNUSED)]
    assert feed.on_disconnected(1, START) == []
    assert feed.on_timer(START + S, books) == []
    feed.add_market(1, "y1", "n1", START + S)
    assert feed.on_timer(START + S, books) == [Connect(2, again=True)]


def test_lost_connection_untrusts_its_books_and_restores_its_subscriptions(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 3)
    lost = feed.on_disconnected(1, START + S)
    assert lost == [Untrust((0, 1), UntrustCause.RECONNECT)]
    connects = of(run(feed, books, START + S, START + 2 * S), Connect)
    assert connects == [Connect(3, again=True)]
    assert feed.on_connected(3, START + 2 * S) == [Send(3, "open y0,n0,y1,n1")]


def test_late_news_of_an_old_connection_changes_nothing(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    feed.on_disconnected(1, START)
    assert feed.on_disconnected(1, START) == []
    assert feed.on_connected(1, START) == []
    feed.on_pong(1, START)
    feed.on_data(1, START)


def test_backoff_doubles_up_to_its_limit_and_only_data_ends_it(books: States) -> None:
    feed = make_feed()
    feed.add_market(0, "y0", "n0", START)
    now, delays = START, []
    for _ in range(12):
        (connect,) = of(run(feed, books, now, now + 31 * S, step_ms=1_000), Connect)
        feed.on_connected(connect.connection, now)  # accepted, then closed without data
        feed.on_disconnected(connect.connection, now)
        delays.append(feed.retries_ns[0] - now)
        now += 31 * S
    limits = [min(250 * 2**n, 30_000) * NS_PER_MS for n in range(12)]
    assert all(0 <= delay <= limit for delay, limit in zip(delays, limits, strict=True))
    assert max(delays) > 8_000 * NS_PER_MS
    (connect,) = of(run(feed, books, now, now + 31 * S, step_ms=1_000), Connect)
    feed.on_connected(connect.connection, now)
    feed.on_data(connect.connection, now + 1)
    feed.on_disconnected(connect.connection, now + 2)
    assert feed.retries_ns[0] - now - 2 <= 250 * NS_PER_MS


def test_backoff_jitter_follows_the_seed(books: States) -> None:
    def delays(seed: int) -> list[int]:
        feed = make_feed(seed=seed)
        feed.add_market(0, "y0", "n0", START)
        seen = []
        for connection in range(1, 6):
            now = START + connection * 100 * S
            feed.on_timer(now, books)
            feed.on_connect_failed(connection, now)
            seen.append(feed.retries_ns[0] - now)
        return seen

    assert delays(1) == delays(1)
    assert delays(1) != delays(2)


def test_ping_goes_out_on_its_interval_and_a_missing_pong_ends_the_connection(
    books: States,
) -> None:
    feed = make_feed(Ingress(assets_per_socket=4, socket_silence_ms=3_600_000))
    opened(feed, books, 1)
    trust(books, START, 0)
    seen = run(feed, books, START, START + 31 * S)
    pings = [(now - START) // S for now, action in seen if action == Send(1, "ping")]
    assert pings == [10, 20, 30]
    end = run(feed, books, START + 30 * S, START + 31 * S)
    closed = seen + end
    assert of(closed, Close) == [Close(1, CloseReason.PONG_TIMEOUT)]
    assert Untrust((0,), UntrustCause.RECONNECT) in of(closed, Untrust)


def test_socket_that_answers_pong_but_brings_no_data_is_dead(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    trust(books, START, 0)
    closes = []
    for now in range(START, START + 62 * S, 100 * NS_PER_MS):
        feed.on_pong(1, now)
        books.heard[0] = now  # REST vouches for the book, which says nothing of the socket
        closes += [
            (now - START, action)
            for action in feed.on_timer(now, books)
            if isinstance(action, Close)
        ]
    ((when, close),) = closes
    assert close == Close(1, CloseReason.SILENT)
    assert 60 * S < when <= 61 * S


def test_missing_snapshot_repeats_the_subscription_then_asks_rest(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    seen = run(feed, books, START, START + 11 * S)
    tried = [a for _, a in seen if isinstance(a, (Send, FetchBooks)) and a != Send(1, "ping")]
    again = [Send(1, "drop y0,n0"), Send(1, "add y0,n0")]
    assert tried == [*again, *again, FetchBooks((0,), ("y0",), FetchPurpose.RESYNC)]
    assert [(now - START) // S for now, a in seen if isinstance(a, Resubscribed)] == [5, 10]


def test_stubborn_market_is_asked_for_ever_more_rarely(books: States) -> None:
    feed = make_feed(Ingress(pong_timeout_ms=3_600_000, socket_silence_ms=3_600_000))
    opened(feed, books, 1)
    seen = run(feed, books, START, START + 600 * S, step_ms=100)
    times = [now for now, a in seen if isinstance(a, Resubscribed)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 30 * S


def test_disagreeing_book_is_resubscribed_at_once_and_paced_when_it_happens_again(
    books: States,
) -> None:
    feed = make_feed()
    opened(feed, books, 2)
    trust(books, START, 0, 1)
    first = feed.on_resync([1], START + S)
    assert first == [Send(1, "drop y1,n1"), Send(1, "add y1,n1"), Resubscribed((1,))]
    assert feed.on_resync([1], START + S + 10 * NS_PER_MS) == []
    books.good.discard(1)
    seen = run(feed, books, START + S, START + 2 * S)
    repeats = [now - START - S for now, a in seen if isinstance(a, Resubscribed)]
    assert repeats == [500 * NS_PER_MS]
    assert of(seen, FetchBooks) == [FetchBooks((1,), ("y1",), FetchPurpose.RESYNC)]


def test_quiet_stretch_forgives_earlier_tries(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    trust(books, START, 0)
    feed.on_resync([0], START)
    run(feed, books, START, START + 6 * S)
    again = feed.on_resync([0], START + 6 * S)
    assert Resubscribed((0,)) in again


def test_resync_request_without_a_connection_waits_for_the_next_one(books: States) -> None:
    feed = make_feed()
    opened(feed, books, 1)
    feed.on_disconnected(1, START)
    assert feed.on_resync([0, 99], START) == []


def test_silent_market_is_compared_with_rest_and_then_untrusted(books: States) -> None:
    feed = make_feed(Ingress(socket_silence_ms=3_600_000, pong_timeout_ms=3_600_000))
    opened(feed, books, 2)
    trust(books, START, 0, 1)
    seen = []
    for now in range(START, START + 61 * S, 10 * NS_PER_MS):
        books.heard[1] = now
        seen += [(now - START, action) for action in feed.on_timer(now, books)]
    fetches = [(when // S, a) for when, a in seen if isinstance(a, FetchBooks)]
    assert fetches[0] == (30, FetchBooks((0,), ("y0",), FetchPurpose.SILENCE))
    assert [when for when, _ in fetches] == [30, 37, 45, 52]
    assert of(seen, Untrust)[0] == Untrust((0,), UntrustCause.SILENCE)
    assert Resubscribed((0,)) in of(seen, Resubscribed)


def test_rest_that_vouches_for_a_silent_market_keeps_it_trusted(books: States) -> None:
    feed = make_feed(Ingress(socket_silence_ms=3_600_000, pong_timeout_ms=3_600_000))
    opened(feed, books, 1)
    trust(books, START, 0)
    fetches = 0
    for now in range(START, START + 200 * S, 10 * NS_PER_MS):
        for action in feed.on_timer(now, books):
            assert not isinstance(action, Untrust)
            if isinstance(action, FetchBooks):
                fetches += 1
                books.heard[0] = now
    assert fetches == 6


def test_many_markets_are_all_checked_within_half_a_second(books: States) -> None:
    feed = make_feed(Ingress(assets_per_socket=200))
    opened(feed, books, 1_000)
    asked: set[int] = set()
    for _, action in run(feed, books, START + 5 * S, START + 5 * S + 500 * NS_PER_MS):
        if isinstance(action, Resubscribed):
            assert len(action.markets) <= 20
            asked.update(action.markets)
    assert asked == set(range(1_000))
