"""The projection: every record once, whatever fails and wherever it is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, func, select, text, update
from sqlalchemy.exc import OperationalError

from oracle import postgres
from oracle.ledger_history import BODY, UNKNOWN_KIND, write_history
from overround.ledger import schema
from overround.ledger.check import Check, check, is_written
from overround.ledger.database import open_engine, resolve_url
from overround.ledger.follow import Follower
from overround.ledger.journal import Journal, segment_path
from overround.ledger.projector import CursorMoved, Projector


@pytest.fixture(scope="module")
def server():
    reason = postgres.missing()
    if reason:
        pytest.skip(reason)
    with postgres.cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path):
    url = "" if request.param == "sqlite" else request.getfixturevalue("server")
    engine = open_engine(resolve_url(url, tmp_path, {}))
    yield engine
    with engine.begin() as connection:
        schema.METADATA.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()


def project(engine: Engine, folder: Path, limit: int = 50) -> int:
    projector, total = Projector(engine, folder, "test"), 0
    while done := projector.step(limit):
        total += done
    projector.close()
    return total


def checked(engine: Engine, folder: Path) -> Check:
    with engine.begin() as connection:
        return check(connection, folder)


def rows(engine: Engine, table: Any, *names: str) -> list[tuple[Any, ...]]:
    columns = [table.c[name] for name in names] or list(table.c)
    with engine.begin() as connection:
        return [
            tuple(row) for row in connection.execute(select(*columns).order_by(*table.primary_key))
        ]


def test_the_tables_are_what_journal_and_positions_say(engine: Engine, tmp_path: Path):
    last = write_history(tmp_path / "journal", seed=3, orders=80)
    assert project(engine, tmp_path / "journal") == last
    found = checked(engine, tmp_path / "journal")
    assert found.differences == []
    assert found.journal_records == found.database_records == last
    assert min(found.rows.values()) > 0, "the history reaches every table"


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), limits=st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_any_history_cut_anywhere_gives_the_same_tables(
    tmp_path_factory: pytest.TempPathFactory, seed: int, limits: list[int]
):
    folder = tmp_path_factory.mktemp("ledger")
    write_history(folder / "journal", seed=seed, orders=8)
    engine = open_engine(resolve_url("", folder, {}))
    step, done = 0, 1
    while done:  # each batch by a projector that knows nothing
        projector = Projector(engine, folder / "journal", "test")
        done = projector.step(limits[step % len(limits)])
        step += 1
    assert checked(engine, folder / "journal").differences == []
    engine.dispose()


def test_a_failure_at_any_statement_loses_and_doubles_nothing(engine: Engine, tmp_path: Path):
    """Every statement and every commit of the first batches fails once."""
    folder = tmp_path / "journal"
    write_history(folder, seed=5, orders=12)
    count, bomb = 0, 0

    def fuse(*_: object) -> None:
        nonlocal count
        count += 1
        if count == bomb:
            raise OperationalError("statement", None, Exception("killed here"))

    event.listen(engine, "before_cursor_execute", fuse)
    event.listen(engine, "commit", fuse)
    projector = Projector(engine, folder, "test")
    failures, done = 0, 1
    while done:
        count, bomb = 0, bomb + 1
        try:
            done = projector.step(7)
        except OperationalError:
            failures += 1
    assert failures > 10
    bomb = 0
    while projector.step(500):
        pass
    assert checked(engine, folder).differences == []


def test_a_commit_whose_answer_was_lost_is_not_repeated(engine: Engine, tmp_path: Path):
    folder = tmp_path / "journal"
    last = write_history(folder, orders=8)
    projector = Projector(engine, folder, "test")
    projector.step(5)
    real, lost = engine.dialect.do_commit, 0

    def commit(connection: Any) -> None:
        nonlocal lost
        real(connection)
        lost += 1
        raise OperationalError("COMMIT", None, Exception("connection reset"))

    engine.dialect.do_commit = commit  # type: ignore[method-assign]
    with pytest.raises(OperationalError):
        projector.step(5)
    engine.dialect.do_commit = real  # type: ignore[method-assign]
    assert lost == 1
    total = 0
    while done := projector.step(500):
        total += done
    assert total == last - 10, "the lost answer's batch was in the database"
    assert checked(engine, folder).differences == []


def test_two_projectors_of_one_journal_double_nothing(engine: Engine, tmp_path: Path):
    folder = tmp_path / "journal"
    write_history(folder, orders=30)
    one, two = (Projector(engine, folder, "test") for _ in range(2))
    moved, idle = 0, 0
    for turn in range(400):
        try:
            idle = 0 if (one, two)[turn % 3 % 2].step(9) else idle + 1
        except CursorMoved:
            moved += 1
        if idle > 5:
            break
    assert moved > 0
    assert checked(engine, folder).differences == []


def test_an_unknown_kind_is_an_event_and_nothing_private_is_kept(engine: Engine, tmp_path: Path):
    write_history(tmp_path / "journal", seed=4, orders=60)
    project(engine, tmp_path / "journal", 500)
    found = [row for row in rows(engine, schema.events, "kind", "name", "detail")
             if row[0] == UNKNOWN_KIND]  # fmt: skip
    assert found
    assert found[0][1:] == (f"KIND_{UNKNOWN_KIND}", '[1,"abc","3 bytes"]')
    for table in schema.TABLES:
        assert BODY.decode() not in repr(rows(engine, table))
    with engine.begin() as connection:
        engine_file = connection.engine.url.database
    if engine.dialect.name == "sqlite":
        assert BODY not in Path(str(engine_file)).read_bytes()


def test_a_trail_has_the_time_since_the_record_before(engine: Engine, tmp_path: Path):
    write_history(tmp_path / "journal", orders=20)
    project(engine, tmp_path / "journal")
    last: dict[str, int] = {}
    for intent, epoch_ns, latency_ns in rows(
        engine, schema.events, "intent", "epoch_ns", "latency_ns"
    ):
        if intent is not None:
            assert latency_ns == (epoch_ns - last[intent] if intent in last else None)
            last[intent] = epoch_ns


def test_a_journal_with_another_tail_is_projected_beside_the_old_rows(
    engine: Engine, tmp_path: Path
):
    """The machine died: the database has records that the journal lost, and others now."""
    folder = tmp_path / "journal"
    write_history(folder, orders=10)
    project(engine, folder)
    path = segment_path(folder, 0)
    follower = Follower(folder)
    cut = follower.poll(20)[-1].offset
    data = path.read_bytes()
    path.write_bytes(data[:cut] + bytes(len(data) - cut))
    with Journal(folder, segment_bytes=65_536, sync_policy="none") as journal:
        for _ in range(60):
            journal.append(UNKNOWN_KIND, b"\x01")
    projector = Projector(engine, folder, "test")
    while projector.step(50):
        pass
    assert projector.superseded == 1
    assert checked(engine, folder).differences == []
    old = [row for row in rows(engine, schema.journals, "superseded", "sequence") if row[0]]
    assert len(old) >= 1, "what the database knew is kept"


def test_two_instances_share_a_database(engine: Engine, tmp_path: Path):
    for name, seed in (("one", 1), ("two", 2)):
        write_history(tmp_path / name, seed=seed, orders=10)
    projectors = [Projector(engine, tmp_path / name, name) for name in ("one", "two")]
    for _ in range(100):
        for projector in projectors:
            projector.step(11)
    for name in ("one", "two"):
        assert checked(engine, tmp_path / name).differences == []


def test_forgetting_begins_at_the_first_record_again(engine: Engine, tmp_path: Path):
    folder = tmp_path / "journal"
    last = write_history(folder, orders=10)
    project(engine, folder)
    projector = Projector(engine, folder, "test")
    projector.forget()
    mine = 0
    while done := projector.step(100):
        mine += done
    assert mine == last
    assert checked(engine, folder).differences == []


SABOTAGE = {
    "a changed amount": lambda: update(schema.fills).values(fee_micro=schema.fills.c.fee_micro + 1),
    "a lost event": lambda: delete(schema.events).where(schema.events.c.sequence == 17),
    "a lost share": lambda: update(schema.positions).values(confirmed_lots=7),
    "a lost order": lambda: delete(schema.orders).where(
        schema.orders.c.sequence == select(func.min(schema.orders.c.sequence)).scalar_subquery()
    ),
    "moved cash": lambda: update(schema.cash).values(amount_micro=schema.cash.c.amount_micro + 1),
    "a moved cursor": lambda: update(schema.journals).values(
        sequence=schema.journals.c.sequence - 1
    ),
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_the_check_finds_what_was_changed(tmp_path: Path, name: str):
    write_history(tmp_path / "journal", orders=10)
    engine = open_engine(resolve_url("", tmp_path, {}))
    project(engine, tmp_path / "journal")
    with engine.begin() as connection:
        connection.execute(SABOTAGE[name]())
    assert checked(engine, tmp_path / "journal").differences
    engine.dispose()


def test_a_ledger_behind_is_a_difference_only_if_nobody_is_at_it(tmp_path: Path):
    folder = tmp_path / "journal"
    write_history(folder, orders=10)
    engine = open_engine(resolve_url("", tmp_path, {}))
    Projector(engine, folder, "test").step(10)
    assert not is_written(folder)
    assert "nobody is at it" in checked(engine, folder).differences[0]
    with Journal(folder, segment_bytes=65_536, sync_policy="none"):
        assert is_written(folder)
        assert checked(engine, folder).differences == []
    engine.dispose()


def test_a_journal_without_a_record_is_not_in_the_database(engine: Engine, tmp_path: Path):
    projector = Projector(engine, tmp_path / "journal", "test")
    assert projector.step(5) == 0
    with Journal(tmp_path / "journal", segment_bytes=65_536, sync_policy="none"):
        assert projector.step(5) == 0
