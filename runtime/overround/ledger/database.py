"""The database of the ledger: where it is, how it is opened, which schema it must have.

SQLite in write-ahead mode beside the journal unless a URL names PostgreSQL. A password belongs
into the environment (the whole URL in ``OVERROUND_DATABASE_URL``, or ``PGPASSWORD``, or a
``.pgpass`` file), never into the settings: those are written to the run's folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from overround.errors import ConfigError, HostError
from overround.ledger.schema import SCHEMA_VERSION

__all__ = ["DATABASE_FILE", "URL_VARIABLE", "check_schema", "open_engine", "resolve_url",
           "shown", "upgrade"]  # fmt: skip

DATABASE_FILE: Final = "ledger.db"
URL_VARIABLE: Final = "OVERROUND_DATABASE_URL"
BUSY_TIMEOUT_S: Final = 2
"""How long a statement waits for another connection's lock before the writer backs off."""
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000
_UPGRADE_LOCK: Final = 0x6F7672
"""Advisory lock of PostgreSQL, so that two instances do not migrate at once."""


def resolve_url(configured: str, run_dir: Path, environment: Mapping[str, str] = os.environ) -> URL:
    """Return the database's URL: the environment's, else the configured, else SQLite's file.

    Raises ConfigError if it is no URL of SQLite or PostgreSQL; no message shows a password.
    """
    raw = environment.get(URL_VARIABLE) or configured
    if not raw:
        return URL.create("sqlite", database=str(run_dir / DATABASE_FILE))
    try:
        url = make_url(raw)
    except (ArgumentError, ValueError):
        raise ConfigError("the ledger's database URL is not a URL: scheme://host/name") from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(f"the ledger is kept in sqlite or postgresql, not in {backend}")


def shown(url: URL) -> str:
    """Return the URL as it may be logged: without its password."""
    return url.render_as_string(hide_password=True)


def open_engine(url: URL, *, reads: bool = False) -> Engine:
    """Return an engine of at most one connection; nothing is opened yet.

    One that ``reads`` writes nothing, sees one state of the database in each transaction, and
    never makes the writer wait. Raises HostError if PostgreSQL's driver is not installed, or if
    there is no such file to read.
    """
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and reads and not (url.database and Path(url.database).exists()):
        raise HostError(f"there is no ledger at {url.database}: try --journal")
    arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S} if sqlite else {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "overround-ledger",
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c client_min_messages=warning",
        "keepalives_idle": 10,
    }  # fmt: skip
    try:
        engine = create_engine(
            url, connect_args=arguments, pool_size=1, max_overflow=0, hide_parameters=True,
            **({"pool_reset_on_return": None} if sqlite else {}),
        )  # fmt: skip
    except ModuleNotFoundError:
        raise HostError(
            'a ledger in PostgreSQL needs its driver: pip install "overround[postgres]"'
        ) from None
    if sqlite:
        event.listen(engine, "connect", _read_sqlite if reads else _write_sqlite)
        begin = "BEGIN" if reads else "BEGIN IMMEDIATE"
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    elif reads:
        level = "REPEATABLE READ"
        return engine.execution_options(isolation_level=level, postgresql_readonly=True)
    return engine


def _write_sqlite(connection: Any, _record: Any) -> None:
    _pragmas(connection, "journal_mode = WAL", "synchronous = NORMAL")


def _read_sqlite(connection: Any, _record: Any) -> None:
    _pragmas(connection, "query_only = ON")


def _pragmas(connection: Any, *pragmas: str) -> None:
    connection.isolation_level = None  # the driver starts no transaction by itself: see "begin"
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def check_schema(connection: Connection) -> None:
    """Raise HostError unless the database has exactly the schema that this build reads."""
    version = _version(connection)
    if version is None:
        raise HostError("the database holds no ledger: start the executor, or try --rebuild")
    if version != SCHEMA_VERSION:
        raise HostError(
            f"the ledger has schema {version}, this build reads {SCHEMA_VERSION}: "
            + (_NEWER if version > SCHEMA_VERSION else "start the executor, or try --rebuild")
        )


_NEWER: Final = "use the build that wrote it, or name another database"


def upgrade(engine: Engine) -> None:
    """Create or upgrade the schema in one transaction; nothing happens if it is current.

    Raises HostError if a newer build made it.
    """
    with engine.begin() as connection:
        version = _version(connection)
        if version == SCHEMA_VERSION:
            return
        if version is not None and version > SCHEMA_VERSION:
            check_schema(connection)
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
        migrate(connection, "head")


def migrate(connection: Connection, target: str) -> None:
    """Run the shipped migrations up or down to a revision: a number, ``head`` or ``base``."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    down = target == "base" or (target != "head" and target < (_version(connection) or ""))
    (command.downgrade if down else command.upgrade)(config, target)
