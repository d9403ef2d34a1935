"""Interrupt coalescing of network cards, by the ``ethtool`` command."""

from __future__ import annotations

import re
import shutil
import subprocess

from overround.errors import HostError

__all__ = ["installed", "read", "write"]

TIMEOUT_S = 10


def _run(*arguments: str) -> str:
    done = subprocess.run(
        ["ethtool", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise HostError(f"ethtool {' '.join(arguments)}: {done.stderr.strip() or 'refused'}")
    return done.stdout


def installed() -> bool:
    """Return whether the command is there."""
    return shutil.which("ethtool") is not None


def read(interface: str) -> str | None:
    """Return ``adaptive-rx on rx-usecs 3``; None where the card has no such setting."""
    try:
        text = _run("-c", interface)
    except HostError:
        return None
    adaptive = re.search(r"^Adaptive RX: *(on|off)", text, re.MULTILINE)
    wait = re.search(r"^rx-usecs: *([0-9]+)", text, re.MULTILINE)
    parts = [f"adaptive-rx {adaptive[1]}"] if adaptive else []
    parts += [f"rx-usecs {wait[1]}"] if wait else []
    return " ".join(parts) or None


def write(interface: str, value: str) -> None:
    """Set what ``read`` shows; HostError if the card refuses."""
    _run("-C", interface, *value.split())
