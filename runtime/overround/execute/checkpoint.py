"""A store's state as bytes, for the next start: what a replay made, nothing that a life added.

``freeze`` is for a store that has just been replayed. Live orders know more than their records
say (a request under way, a wish to cancel that was not journaled); a start must not know it, as
a replay would not. So a checkpoint is written at a start, before anything is committed, and the
next start reads it and what came after.

The state is a pickle. It is read back only where the very sources that made it are in use
(``fingerprint``), and only classes of those modules are let in.
"""

from __future__ import annotations

import io
import pickle
import sys
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec

from overround.errors import OverroundError

__all__ = ["ThawError", "fingerprint", "freeze", "thaw"]

_MODULES: Final = (
    "overround.decide.exposure",
    "overround.decide.risk",
    "overround.execute.checkpoint",
    "overround.execute.lifetable",
    "overround.execute.order",
    "overround.execute.own",
    "overround.execute.planbook",
    "overround.execute.retired",
    "overround.execute.store",
    "overround.layout.intent",
    "overround.ledger.journal",
    "overround.ledger.positions",
    "overround.ledger.records",
    "overround.observe.metrics",
    "overround.units",
    "overround.venues.polymarket.fees",
)
"""All that decides what a record does to the state, and every class the state is made of."""
_PLAIN: Final = {("collections", "Counter"), ("collections", "deque")}


class ThawError(OverroundError):
    """The bytes are no state of this build."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module in _MODULES else None
        # What a pickle names it may call: no function, and nothing that a module has imported.
        if isinstance(found, type) and found.__module__ == module and "." not in name:
            return found
        raise ThawError(f"a checkpoint may not hold {module}.{name}")


@cache
def fingerprint() -> bytes:
    """Return 32 bytes that change with the sources, the interpreter and the struct library."""
    digest = sha256(f"{sys.version} {msgspec.__version__}".encode())
    for name in _MODULES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ThawError(f"module {name} has no source")
        digest.update(sha256(Path(spec.origin).read_bytes()).digest())
    return digest.digest()


def freeze(state: dict[str, Any]) -> bytes:
    """Return a state as bytes."""
    return pickle.dumps(state, protocol=5)


def thaw(data: bytes, names: frozenset[str]) -> dict[str, Any]:
    """Return the state that was frozen; ThawError unless it has just these names."""
    try:
        state = _Reader(io.BytesIO(data)).load()
    except ThawError:
        raise
    except Exception as error:  # a pickle may raise anything
        raise ThawError(f"{type(error).__name__}: {error}") from error
    if not isinstance(state, dict) or state.keys() != names:
        raise ThawError("its parts are others")
    return state
