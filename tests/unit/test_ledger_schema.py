"""The database: its migrations, its versions, its URL, and the password nobody sees."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, select, text

from oracle import postgres
from oracle.ledger_history import write_history
from overround.config.load import settings_from
from overround.errors import ConfigError, HostError
from overround.ledger import database, schema
from overround.ledger.database import check_schema, migrate, open_engine, resolve_url, upgrade
from overround.ledger.projector import Projector

SECRET = "hunter2"


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
        if inspect(connection).has_table("alembic_version"):
            connection.execute(text("DELETE FROM alembic_version"))
        schema.METADATA.drop_all(connection)
    engine.dispose()


def test_migrations_lead_to_the_tables_in_the_code(engine: Engine):
    upgrade(engine)
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.METADATA) == []
        check_schema(connection)


def test_every_migration_goes_down_and_up_again(engine: Engine):
    upgrade(engine)
    with engine.begin() as connection:
        migrate(connection, "0001")
        assert "intents_epoch" not in {
            i["name"] for i in inspect(connection).get_indexes("intents")
        }
        migrate(connection, "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
        migrate(connection, "head")
        assert compare_metadata(MigrationContext.configure(connection), schema.METADATA) == []


def test_an_older_schema_is_upgraded_by_opening_and_keeps_its_rows(engine: Engine, tmp_path: Path):
    last = write_history(tmp_path / "journal", orders=5)
    projector = Projector(engine, tmp_path / "journal", "test")
    upgrade(engine)
    with engine.begin() as connection:
        migrate(connection, "0001")
    with engine.begin() as connection, pytest.raises(HostError, match="schema 0001"):
        check_schema(connection)
    assert projector.step(3) == 3
    while projector.step(100):
        pass
    with engine.begin() as connection:
        check_schema(connection)
        assert connection.execute(select(schema.journals.c.sequence)).scalar() == last
    projector.close()


def test_a_newer_schema_is_refused_in_one_line_and_left_alone(engine: Engine, tmp_path: Path):
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    write_history(tmp_path / "journal", orders=2)
    projector = Projector(engine, tmp_path / "journal", "test")
    with pytest.raises(HostError, match="schema 9999, this build reads") as caught:
        projector.step(5)
    assert "\n" not in str(caught.value)
    with engine.begin() as connection:
        assert connection.execute(select(schema.journals)).all() == []


def test_a_failed_migration_leaves_the_old_schema(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    def broken(connection: object, target: str) -> None:
        migrate(connection, "0001")  # type: ignore[arg-type]
        raise OSError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(database, "migrate", broken)
        with pytest.raises(OSError, match="killed here"):
            upgrade(engine)
    with engine.begin() as connection:
        assert not inspect(connection).has_table("intents")
    upgrade(engine)


def test_migrations_can_be_had_as_sql_without_a_database():
    config = Config(output_buffer=io.StringIO())
    folder = Path(database.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    command.upgrade(config, "head", sql=True)
    assert "CREATE TABLE journals" in config.output_buffer.getvalue()


def test_the_url_is_the_environments_then_the_settings_then_a_file(tmp_path: Path):
    asked = {database.URL_VARIABLE: f"postgres://u:{SECRET}@h:5433/db"}
    url = resolve_url("postgresql://other/db", tmp_path, asked)
    assert (url.drivername, url.password) == ("postgresql+psycopg", SECRET)
    assert SECRET not in database.shown(url)
    assert "***" in database.shown(url)
    assert resolve_url("", tmp_path, {}).database == str(tmp_path / "ledger.db")
    assert resolve_url("sqlite:////tmp/a.db", tmp_path, {}).database == "/tmp/a.db"


@pytest.mark.parametrize("bad", [f"mysql://u:{SECRET}@h/d", f"not a url {SECRET}", "://"])
def test_other_urls_are_refused_without_showing_them(tmp_path: Path, bad: str):
    with pytest.raises(ConfigError) as caught:
        resolve_url(bad, tmp_path, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"postgresql://me:{SECRET}@host/db", f"postgresql://host/db?password={SECRET}"]
)
def test_a_password_in_the_settings_is_refused_and_not_shown(url: str):
    with pytest.raises(ConfigError, match="move it to OVERROUND_DATABASE_URL") as caught:
        settings_from({"ledger": {"database_url": url}}, where="file.toml")
    assert SECRET not in str(caught.value)


def test_a_url_without_a_password_is_accepted():
    for url in ("postgresql://me@host/db", "postgresql:///db?host=/tmp", "sqlite:///x.db"):
        assert settings_from({"ledger": {"database_url": url}}, where="x").ledger.database_url


def test_reading_what_is_not_there_says_what_to_do(tmp_path: Path):
    with pytest.raises(HostError, match=r"no ledger at .* try --journal"):
        open_engine(resolve_url("", tmp_path, {}), reads=True)
    engine = open_engine(resolve_url("", tmp_path, {}))
    with engine.begin() as connection, pytest.raises(HostError, match="holds no ledger"):
        check_schema(connection)
    engine.dispose()
