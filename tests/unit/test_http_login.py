"""A refused login, and a clock that is off: what stops orders and what lets them go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from oracle.http_server import Told, until
from overround.errors import OverroundError
from overround.execute.http import login as login_module
from overround.execute.http.answer import Kind, NotSent, Response
from overround.execute.http.guard import Guard
from overround.execute.http.login import LoginKeeper
from overround.execute.http.trouble import Trouble
from overround.execute.http.venueclock import VenueClock
from overround.observe.metrics import Value
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.rest import Request


def key_answer(name: str) -> Response:
    body = {"apiKey": name, "secret": "c2VjcmV0", "passphrase": "ff"}
    return Response(200, json.dumps(body).encode(), "")


class Caller:
    """Answers what the script says, in turn; its last line for ever."""

    def __init__(self, *script: Response | OverroundError) -> None:
        self.credentials: Credentials | None = Credentials("mine", "c2VjcmV0", "ff")
        self.script = list(script)
        self.asked: list[str] = []

    async def call(self, request: Request) -> Response:
        self.asked.append(request.path)
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, OverroundError):
            raise said
        return said


class Keeper:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: Response | OverroundError) -> None:
        self.told = Told()
        self.guard = Guard(self.told, lambda: 0)
        self.caller = Caller(*script)
        self.tasks: list[asyncio.Task[None]] = []
        self.slept: list[float] = []

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            if len(self.slept) > 7:
                await asyncio.Event().wait()

        monkeypatch.setattr(login_module, "sleep", sleep)
        self.keeper = LoginKeeper(self.caller, self.guard, self.spawn)

    def spawn(self, chore: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(chore))

    def why(self) -> str:
        try:
            self.guard.check(Kind.ORDER)
        except NotSent as error:
            return str(error)
        return ""


OK = Response(200, b"{}", "")
NO = Response(401, b'{"error":"Unauthorized/Invalid api key"}', "")


async def test_the_same_key_accepted_again_lets_orders_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = Keeper(monkeypatch, key_answer("mine"), OK)
    keeper.keeper.refused()
    keeper.keeper.refused()  # of another request under way
    assert "deriving the key again" in keeper.why()
    await keeper.tasks[0]
    assert (keeper.why(), len(keeper.tasks)) == ("", 1)
    assert keeper.caller.asked == ["/auth/derive-api-key", "/auth/api-keys"]


async def test_it_is_tried_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(
        monkeypatch, key_answer("mine"), NO, NO, NotSent("no connection"), key_answer("mine"), OK
    )
    keeper.keeper.refused()
    await keeper.tasks[0]
    assert keeper.slept == [1, 2, 4]
    assert keeper.why() == ""
    keeper.keeper.refused()
    assert keeper.why()
    keeper.tasks[1].cancel()


async def test_another_key_is_used_for_cancels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(monkeypatch, key_answer("another"))
    keeper.keeper.refused()
    await until(lambda: len(keeper.slept) > 7)
    assert "another key: start the executor again" in keeper.why()
    keeper.guard.check(Kind.CANCEL)
    assert keeper.caller.credentials is not None
    assert keeper.caller.credentials.api_key == "another"
    assert keeper.slept[:7] == [1, 2, 4, 8, 16, 30, 30]
    keeper.tasks[0].cancel()


async def test_another_key_is_taken_up_once_the_venue_accepts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = Keeper(monkeypatch, key_answer("another"), NO, key_answer("another"), OK)
    taken: list[str] = []

    def adopt(credentials: Credentials) -> None:
        assert keeper.why()  # no order leaves before all of it is changed
        taken.append(credentials.api_key)

    keeper.keeper.adopt = adopt
    keeper.keeper.refused()
    await keeper.tasks[0]
    assert (taken, keeper.why(), keeper.slept) == (["another"], "", [1])
    keeper.caller.script = [key_answer("another"), OK]
    keeper.keeper.refused()
    await keeper.tasks[1]
    assert (taken, keeper.why()) == (["another"], "")  # it is the usual one by now


class Clocks:
    def __init__(self, venue_ms: int, *, took_ms: int = 0, limit_ms: int = 2_000) -> None:
        self.told = Told()
        self.guard = Guard(self.told, lambda: 0)
        self.now_ms = 1_795_000_000_000
        self.venue_ms = venue_ms
        self.took_ms = took_ms
        self.status = 200
        self.clock = VenueClock(
            self.call, self.guard, self.told,
            epoch_ms=lambda: self.now_ms, offset_max_ms=limit_ms,
        )  # fmt: skip

    async def call(self, _: Request) -> Response:
        self.now_ms += self.took_ms
        venue_s = (self.now_ms - self.took_ms // 2 + self.venue_ms) // 1_000
        return Response(self.status, str(venue_s).encode(), "")


@pytest.mark.parametrize(
    ("venue_ms", "took_ms", "stops"),
    [(0, 0, False), (1_900, 300, False), (-1_900, 0, False), (3_600, 200, True),
     (-3_600, 200, True), (3_600, 4_000, False)],
)  # fmt: skip
async def test_orders_stop_only_when_the_difference_is_certain(
    venue_ms: int, took_ms: int, stops: bool
) -> None:
    clocks = Clocks(venue_ms, took_ms=took_ms)
    assert await clocks.clock.measure() is not stops
    assert clocks.guard.stopped(Trouble.CLOCK) is stops
    assert abs(clocks.told.gauges[Value.CLOCK_OFFSET_MS] - venue_ms) <= 500 + took_ms
    clocks.venue_ms = 0
    assert await clocks.clock.measure()
    assert not clocks.guard.stopped(Trouble.CLOCK)


async def test_a_clock_that_cannot_be_asked_changes_nothing() -> None:
    clocks = Clocks(9_000)
    await clocks.clock.measure()
    clocks.status = 500
    assert not await clocks.clock.measure()
    assert clocks.guard.stopped(Trouble.CLOCK)
    assert clocks.clock.offset_ms is not None
