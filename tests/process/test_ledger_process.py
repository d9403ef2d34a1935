"""The projector as the process it is, beside a live journal: killed, locked out, out of disk."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, text

from oracle import postgres
from oracle.ledger_history import BODY, history
from overround.clock import NS_PER_S, monotonic_ns
from overround.ledger.audit import find_journal
from overround.ledger.check import check
from overround.ledger.database import URL_VARIABLE, open_engine, resolve_url
from overround.ledger.journal import Journal
from overround.ledger.writer import LedgerWriter, Options
from overround.observe.metrics import Value

PATIENCE_S = 60
KILLS = 2
SECRET = "hunter2"


class Scene:
    """A journal that grows, the writer under test, and what it counted and said."""

    def __init__(self, folder: Path, url: str = "", *, stop_limit_ms: int = 20_000) -> None:
        self.folder, self.url = folder, url
        self.journal = Journal(folder / "journal", segment_bytes=65_536, sync_policy="none")
        self.counts: Counter[int] = Counter()
        self.gauges: dict[int, int] = {}
        self.notices: list[str] = []
        options = Options("test", "", 40, 5, stop_limit_ms)
        self.writer = LedgerWriter(
            folder / "journal",
            folder,
            options,
            counts=self,
            newest=lambda: self.journal.next_sequence - 1,
            notice=self.notices.append,
            environment={**os.environ, URL_VARIABLE: url},
        )

    def add(self, value: int, amount: int = 1) -> None:
        self.counts[value] += amount

    def set(self, value: int, amount: int) -> None:
        self.gauges[value] = amount

    def write(self, orders: int, seed: int = 1) -> None:
        for kind, payload in history(seed, orders):
            self.journal.append(kind, payload)

    def caught_up(self) -> bool:
        return self.gauges.get(Value.LEDGER_LAG_RECORDS) == 0 and self.database_sequence() == (
            self.journal.next_sequence - 1
        )

    def database_sequence(self) -> int:
        engine = open_engine(resolve_url(self.url, self.folder, {}), reads=True)
        try:
            with engine.begin() as connection:
                return int(find_journal(connection, self.folder / "journal")["sequence"])
        finally:
            engine.dispose()

    def differences(self) -> list[str]:
        engine = open_engine(resolve_url(self.url, self.folder, {}), reads=True)
        try:
            with engine.begin() as connection:
                return check(connection, self.folder / "journal").differences
        finally:
            engine.dispose()


def wait_until(true: Callable[[], Any]) -> None:
    deadline_ns = monotonic_ns() + PATIENCE_S * NS_PER_S
    pause = threading.Event()
    while not true():
        assert monotonic_ns() < deadline_ns, "it never happened"
        pause.wait(0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    reason = postgres.missing()
    if reason:
        pytest.skip(reason)
    with postgres.cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else request.getfixturevalue("server")


def test_it_follows_and_stops_with_nothing_left_behind(tmp_path: Path, url: str):
    scene = Scene(tmp_path, url)
    with scene.writer:
        scene.write(20)
        wait_until(scene.caught_up)
        scene.write(20, seed=2)  # the same keys again: a record that cannot be stops nothing
    assert scene.database_sequence() == scene.journal.next_sequence - 1
    assert scene.counts[Value.LEDGER_RECORDS] == scene.journal.next_sequence - 1
    assert scene.counts[Value.LEDGER_FAILURES] == 0


def test_kill_9_at_any_instant_loses_and_doubles_nothing(tmp_path: Path, url: str):
    scene, random, pause = Scene(tmp_path, url), Random(7), threading.Event()
    records = list(history(11, 120))
    part = len(records) // (KILLS + 1)
    with scene.writer:
        for number in range(KILLS):
            seen = scene.counts[Value.LEDGER_RECORDS]
            for kind, payload in records[number * part : (number + 1) * part]:
                scene.journal.append(kind, payload)
            wait_until(lambda seen=seen: scene.counts[Value.LEDGER_RECORDS] > seen)
            pause.wait(random.random() * 0.02)
            dead = scene.writer.child_pid
            os.kill(dead, signal.SIGKILL)
            wait_until(lambda dead=dead: scene.writer.child_pid not in (0, dead))
        for kind, payload in records[KILLS * part :]:
            scene.journal.append(kind, payload)
        wait_until(scene.caught_up)
    assert scene.counts[Value.LEDGER_FAILURES] >= KILLS
    assert "the ledger's projector died; it is started again" in scene.notices
    assert scene.differences() == []


def test_a_locked_database_is_waited_for_and_trading_goes_on(tmp_path: Path):
    scene = Scene(tmp_path)
    with scene.writer:
        scene.write(5)
        wait_until(scene.caught_up)
        lock = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        for kind, payload in list(history(3, 20))[2:]:
            scene.journal.append(kind if kind > 99 else 9_998, payload)
        wait_until(lambda: any("is locked" in one for one in scene.notices))
        assert scene.counts[Value.LEDGER_FAILURES] > 0
        wait_until(lambda: scene.gauges[Value.LEDGER_LAG_RECORDS] > 0)
        lock.execute("ROLLBACK")
        lock.close()
        wait_until(scene.caught_up)
    assert "the ledger's database works again" in scene.notices
    assert scene.differences() == []


def test_a_full_disk_is_waited_for(tmp_path: Path):
    scene = Scene(tmp_path)
    with scene.writer:
        wait_until(lambda: scene.writer.child_pid)
        pid = scene.writer.child_pid
        scene.journal.append(9_998, b"\x01")
        wait_until(lambda: scene.counts[Value.LEDGER_RECORDS] > 0)
        limit = (tmp_path / "ledger.db").stat().st_size + 40_000
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for kind, payload in history(1, 300):
            scene.journal.append(9_998 if kind == 0 else kind, payload)
        wait_until(lambda: scene.counts[Value.LEDGER_FAILURES] > 1)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (-1, -1))
        wait_until(scene.caught_up)
    assert scene.differences() == []


def test_kill_9_of_postgresql_and_of_its_connection(tmp_path: Path, server: str):
    scene = Scene(tmp_path, server)
    admin = create_engine(resolve_url(server, tmp_path, {}))
    terminate = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'overround-ledger'"
    )
    with scene.writer:
        for index, (kind, payload) in enumerate(history(5, 60)):
            scene.journal.append(kind, payload)
            if index % 150 == 100:
                wait_until(lambda: scene.counts[Value.LEDGER_RECORDS] > 0)
                with admin.begin() as connection:
                    connection.execute(terminate)
        admin.dispose()
        postgres.kill(server)
        failures = scene.counts[Value.LEDGER_FAILURES]
        scene.journal.append(9_998, b"\x01")
        wait_until(lambda: scene.counts[Value.LEDGER_FAILURES] > failures)
        postgres.start(server)
        wait_until(scene.caught_up)
    assert scene.differences() == []


def test_stopping_does_not_wait_for_a_database_that_is_away(tmp_path: Path):
    nowhere = f"postgresql://me:{SECRET}@/db?host={tmp_path}/nowhere"
    scene = Scene(tmp_path, nowhere, stop_limit_ms=100)
    with scene.writer:
        scene.write(3)
        wait_until(lambda: scene.counts[Value.LEDGER_FAILURES])
    assert not scene.writer.child_pid
    assert scene.gauges[Value.LEDGER_LAG_RECORDS] == scene.journal.next_sequence - 1
    assert scene.notices
    assert not [one for one in scene.notices if SECRET in one]
    assert "***" in scene.notices[0]


def test_an_orphan_projects_what_is_left_and_goes(tmp_path: Path):
    """The executor is killed -9: its end of the pipe closes."""
    scene = Scene(tmp_path)
    scene.write(30)
    options = msgspec.json.encode(Options("test", "", 40, 5, 20_000)).decode()
    child = subprocess.Popen(
        [sys.executable, "-m", "overround.ledger.child", str(tmp_path / "journal"), str(tmp_path),
         options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.close()  # nobody listens any more
    child.stdin.close()
    assert child.wait(PATIENCE_S) == 0
    assert scene.differences() == []
    assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0
    assert BODY not in (tmp_path / "ledger.db").read_bytes()


def test_a_url_that_cannot_be_used_is_said_once_and_trading_goes_on(tmp_path: Path):
    scene = Scene(tmp_path, f"mysql://me:{SECRET}@host/db", stop_limit_ms=100)
    with scene.writer:
        wait_until(lambda: scene.counts[Value.LEDGER_FAILURES])
    assert any("sqlite or postgresql" in one for one in scene.notices)
    assert SECRET not in str(scene.notices)
