"""A private PostgreSQL cluster, from nothing to a URL, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
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
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        log = ("-l", str(folder / "server.log"))
        _run("pg_ctl", "-D", str(data), "-w", "-t", PATIENCE_S, *log, "-o", options, "start")
        try:
            yield f"postgresql://overround@/postgres?host={folder}"
        finally:
            _run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
