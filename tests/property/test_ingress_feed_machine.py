"""Whatever happens in whatever order, the venue's view of our subscriptions stays ours."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overround.clock import NS_PER_MS
from overround.config.schema import Ingress
from overround.ingress.feed import Action, Close, Connect, FetchBooks, MarketFeed, Send, Untrust

LIMIT = 4
SETTINGS = Ingress(assets_per_socket=LIMIT, pong_timeout_ms=2_000, socket_silence_ms=4_000)
INDICES = st.integers(0, 7)


class Texts:
    """Frames a model of the venue can read."""

    PING = "PING"

    def market_hello(self, token_ids: object) -> str:
        return "+" + " ".join(token_ids)  # type: ignore[call-overload]

    market_subscribe = market_hello

    def market_unsubscribe(self, token_ids: object) -> str:
        return "-" + " ".join(token_ids)  # type: ignore[call-overload]


class FeedMachine(RuleBasedStateMachine):
    """A venue that knows only what it was sent, and books that lose and gain trust."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 10**12
        self.feed = MarketFeed(SETTINGS, Texts(), random.Random(1))
        self.wanted: set[int] = set()
        self.venue: dict[int, set[str]] = {}
        self.connecting: set[int] = set()
        self.numbers: set[int] = set()
        self.good: set[int] = set()

    # The books, as the feed asks for them.
    def trusted(self, index: int) -> bool:
        return index in self.good

    def heard_ns(self, index: int) -> int:
        return 0

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect(connection, _):
                    assert connection not in self.numbers, "connection number used twice"
                    self.numbers.add(connection)
                    self.connecting.add(connection)
                case Send(connection, text):
                    self.receive(connection, text)
                case Close(connection, _):
                    self.connecting.discard(connection)
                    self.venue.pop(connection, None)
                case Untrust(markets, _):
                    self.good.difference_update(markets)
                case FetchBooks(markets, tokens, _):
                    assert set(markets) <= self.wanted
                    assert [f"y{index}" for index in markets] == list(tokens)

    def receive(self, connection: int, text: str) -> None:
        known = self.venue[connection]  # a send to a connection that is not open fails here
        if text == "PING":
            return
        tokens = text[1:].split()
        if text[0] == "+":
            assert not known.intersection(tokens), "the venue refuses duplicates"
            known.update(tokens)
        else:
            assert known.issuperset(tokens), "unsubscribed what was not subscribed"
            known.difference_update(tokens)

    @rule(indices=st.sets(INDICES, min_size=1))
    def add(self, indices: set[int]) -> None:
        self.wanted |= indices
        added = [(index, f"y{index}", f"n{index}") for index in sorted(indices)]
        self.carry_out(self.feed.add_markets(added, self.now_ns))

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.wanted)))
        self.wanted.discard(index)
        self.good.discard(index)
        self.carry_out(self.feed.remove_market(index, self.now_ns))

    @rule(wait_ms=st.sampled_from([0, 10, 300, 3_000, 40_000]))
    def wait(self, wait_ms: int) -> None:
        self.now_ns += wait_ms * NS_PER_MS
        self.carry_out(self.feed.on_timer(self.now_ns, self))

    @rule()
    def let_everyone_in(self) -> None:
        self.now_ns += 31_000 * NS_PER_MS  # beyond any backoff
        self.hear_of_all()
        self.carry_out(self.feed.on_timer(self.now_ns, self))
        for connection in sorted(self.connecting):
            self.connecting.discard(connection)
            self.venue[connection] = set()
            self.carry_out(self.feed.on_connected(connection, self.now_ns))

    def hear_of_all(self) -> None:
        for connection in self.venue:
            self.feed.on_data(connection, self.now_ns)
            self.feed.on_pong(connection, self.now_ns)

    @precondition(lambda self: self.connecting)
    @rule(data=st.data(), accepted=st.booleans())
    def answer_connect(self, data: st.DataObject, accepted: bool) -> None:
        connection = data.draw(st.sampled_from(sorted(self.connecting)))
        self.connecting.discard(connection)
        if accepted:
            self.venue[connection] = set()
            self.carry_out(self.feed.on_connected(connection, self.now_ns))
        else:
            self.carry_out(self.feed.on_connect_failed(connection, self.now_ns))

    @precondition(lambda self: self.venue)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.venue)))
        del self.venue[connection]
        self.carry_out(self.feed.on_disconnected(connection, self.now_ns))

    @rule(connection=st.integers(0, 40))
    def hear_of_any_connection(self, connection: int) -> None:
        self.feed.on_data(connection, self.now_ns)
        self.feed.on_pong(connection, self.now_ns)

    @rule(indices=st.sets(INDICES))
    def resync(self, indices: set[int]) -> None:
        self.carry_out(self.feed.on_resync(indices, self.now_ns))

    @rule(indices=st.sets(INDICES))
    def gain_trust(self, indices: set[int]) -> None:
        self.good |= indices & self.wanted

    @invariant()
    def every_market_is_wanted_once(self) -> None:
        assert self.feed.markets == len(self.wanted)
        everywhere = [token for tokens in self.venue.values() for token in tokens]
        assert len(everywhere) == len(set(everywhere))
        assert set(everywhere) <= {f"{side}{index}" for index in self.wanted for side in "yn"}

    @invariant()
    def no_connection_carries_too_much(self) -> None:
        assert all(0 < len(tokens) <= LIMIT for tokens in self.venue.values())

    @invariant()
    def connections_are_counted(self) -> None:
        assert self.feed.sockets_open == len(self.venue)

    def teardown(self) -> None:
        """Left alone with a venue that accepts, everything wanted ends up subscribed."""
        self.let_everyone_in()
        self.let_everyone_in()
        subscribed = {token for tokens in self.venue.values() for token in tokens}
        assert subscribed == {f"{side}{index}" for index in self.wanted for side in "yn"}


TestFeedMachine = FeedMachine.TestCase
TestFeedMachine.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
