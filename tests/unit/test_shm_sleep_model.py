"""The sleeping protocol of ``native/src/sleep.c``, step by step, in every interleaving.

A stress finds a missed wake-up once in a hundred runs on a loaded machine; a model finds it
always. One consumer takes records in order, one producer publishes them; each step below is one
atomic access (the full fences of the C code are what makes single steps a fair model).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

RECORDS = 3


@dataclass(frozen=True)
class State:
    cursor: int = 0
    flag: int = 0
    wake: int = 0
    taken: int = 0
    seen: int = 0
    consumer: str = "look"
    producer: str = "publish"


def consumer_step(state: State, order: tuple[str, str]) -> State | None:
    """Return the state after the consumer's next step, None if it sleeps or is done."""
    there = state.cursor > state.taken
    match state.consumer:
        case "look" | "look again" if there:
            done = state.taken + 1 == RECORDS
            return replace(state, taken=state.taken + 1, consumer="done" if done else "look")
        case "look":
            return replace(state, consumer=order[0])
        case "read count" | "raise flag" as step:
            following = order[1] if step == order[0] else "look again"
            if step == "read count":
                return replace(state, seen=state.wake, consumer=following)
            return replace(state, flag=1, consumer=following)
        case "look again":
            return replace(state, consumer="futex")
        case "futex":
            return replace(state, consumer="asleep" if state.wake == state.seen else "look")
        case _:
            return None


def producer_step(state: State) -> State | None:
    """Return the state after the producer's next step, None if it has published everything."""
    following = "done" if state.cursor == RECORDS else "publish"
    match state.producer:
        case "publish":
            return replace(state, cursor=state.cursor + 1, producer="look at flag")
        case "look at flag":
            return replace(state, producer="take flag" if state.flag else following)
        case "take flag":
            return replace(state, flag=0, producer="count")
        case "count":
            return replace(state, wake=state.wake + 1, producer="futex wake")
        case "futex wake":
            awake = "look" if state.consumer == "asleep" else state.consumer
            return replace(state, consumer=awake, producer=following)
        case _:
            return None


def stuck_states(order: tuple[str, str], flag: int) -> tuple[set[State], int]:
    """Explore every interleaving; return where nobody can go on too early, and how many states."""
    seen: set[State] = set()
    pending = [State(flag=flag)]
    stuck: set[State] = set()
    while pending:
        state = pending.pop()
        if state in seen:
            continue
        seen.add(state)
        following = [
            after
            for after in (consumer_step(state, order), producer_step(state))
            if after is not None
        ]
        if not following and state.taken < RECORDS:
            stuck.add(state)
        pending.extend(following)
    return stuck, len(seen)


@pytest.mark.parametrize("flag", [0, 1], ids=["no flag left", "flag left by a dead sleeper"])
def test_no_interleaving_misses_a_wake_up(flag: int):
    stuck, states = stuck_states(("read count", "raise flag"), flag)
    assert not stuck
    assert states > 100


def test_the_model_finds_the_missed_wake_up_of_the_other_order():
    stuck, _ = stuck_states(("raise flag", "read count"), 0)
    assert stuck
    assert all(state.consumer == "asleep" and state.cursor > state.taken for state in stuck)
