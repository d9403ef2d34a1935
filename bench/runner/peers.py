"""Peers: each from its registry, pinned, in a virtual environment of its own under build/.

A peer that cannot be had here is left out, and ``MISSING`` says why.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from runner.kit import BUILD, ROOT, CannotMeasure, Kit, last_line

__all__ = ["MISSING", "debian", "hops", "run"]

FOLDER = ROOT / "bench" / "peers"
INSTALL_TIMEOUT_S = 400
RUN_TIMEOUT_S = 120
MISSING: dict[str, str] = {}


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment, made when it is asked for first.

    Raises CannotMeasure with the installer's last line if the registry or a build fails.
    """
    wanted = FOLDER / f"{name}.txt"
    folder = BUILD / "peers" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp, python = folder / "installed.txt", folder / "bin" / "python"
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted.read_text():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        _install([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python)]
        _install([*uv, "-r", str(wanted)])
        stamp.write_text(wanted.read_text())
    return python


def _install(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as late:
        raise CannotMeasure(f"not installed within {INSTALL_TIMEOUT_S} s") from late
    if done.returncode:
        raise CannotMeasure(f"cannot be installed: {last_line(done.stderr)}")


def run(kit: Kit, name: str, *arguments: str) -> dict[str, Any]:
    """Run bench/peers/NAME.py in its environment; return the JSON object that it printed.

    An empty object if the peer cannot be had; ``MISSING`` then knows why.
    """
    if not kit.peers:
        return {}
    try:
        python = python_of(name)
        environment = {**os.environ, "PYTHONPATH": str(FOLDER),
                       "BENCH_CPUS": ",".join(map(str, kit.cpus))}  # fmt: skip
        done = subprocess.run(
            [str(python), str(FOLDER / f"{name}.py"), *arguments], capture_output=True, text=True,
            check=False, timeout=RUN_TIMEOUT_S, env=environment,
        )  # fmt: skip
    except CannotMeasure as error:
        MISSING[name] = str(error)
        return {}
    except subprocess.TimeoutExpired:
        MISSING[name] = f"took longer than {RUN_TIMEOUT_S} s"
        return {}
    if done.returncode:
        MISSING[name] = last_line(done.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.stdout)
    MISSING.update(found.pop("missing", {}))
    return found


def debian(package: str, header: str) -> None:
    """Make sure that a Debian package is installed; raises CannotMeasure if it is not to be had."""
    if Path(header).exists():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
            capture_output=True, check=False, timeout=INSTALL_TIMEOUT_S,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
    if not Path(header).exists():
        raise CannotMeasure(f"needs Debian's {package}: apt-get install {package}")


def hops(kit: Kit) -> dict[str, float]:
    """Return one-way nanoseconds of what Python programs use between processes."""
    return {name: float(value) for name, value in run(kit, "ipc").items()}
