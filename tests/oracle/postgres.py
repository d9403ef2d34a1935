"""A private PostgreSQL cluster, from nothing to a URL, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDERS: Final = ("/usr/lib/postgresql", "/usr/local/bin", "/usr/bin")
UNPRIVILEGED: Final = ("postgres", "nobody")
PATIENCE_S: Final = "60"


def tool(name: str) -> Path | None:
    """Where a program of PostgreSQL's is, None if it is not installed."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    return max(Path(FOLDERS[0]).glob(f"*/bin/{name}"), default=None)


def missing() -> str:
    """Why no cluster can be started here; empty if one can."""
    if tool("initdb") is None or tool("pg_ctl") is None:
        return "PostgreSQL's server is not installed: apt-get install postgresql"
    if os.getuid() == 0 and _user() is None:
        return f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}"
    return ""


def _user() -> str | None:
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


def _run(name: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    program = tool(name)
    assert program is not None
    user = _user() if os.getuid() == 0 else None
    done = subprocess.run(
        [str(program), *arguments], user=user, group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=env, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, f"{name}: {done.stderr}"


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The URL of a database in a cluster that lives as long as the block."""
    folder = Path(tempfile.mkdtemp(prefix="ovr-pg-"))
    data = folder / "data"
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam(_user() or "")
            os.chown(folder, user.pw_uid, user.pw_gid)
        _run("initdb", "-D", str(data), "-U", "overround", "-A", "trust", "-N", "-E", "UTF8")
        url = f"postgresql://overround@/postgres?host={folder}"
        start(url)
        try:
            yield url
        finally:
            _run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _data(url: str) -> Path:
    return Path(url.partition("host=")[2]) / "data"


def kill(url: str) -> None:
    """kill -9 the cluster of a URL, all of it at once."""
    postmaster = int((_data(url) / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for pid in (postmaster, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # Where nobody buries the dead, their pids look alive to the next server.
    (_data(url) / "postmaster.pid").unlink()
    for lock in _data(url).parent.glob(".s.PGSQL.*.lock"):
        lock.unlink()


def start(url: str) -> None:
    """Start a cluster that was killed; it recovers from its own log."""
    folder = _data(url).parent
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    log = ("-l", str(folder / "server.log"))
    _run("pg_ctl", "-D", str(_data(url)), "-w", "-t", PATIENCE_S, *log, "-o", options, "start")
