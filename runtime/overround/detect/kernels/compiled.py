"""How every kernel is compiled: kept on disk, without the GIL and without Numba's own runtime.

Without the runtime a kernel can allocate nothing, and no array's references are counted. Counting
is atomic, and once a helper with a branch is inlined it is done at each turn of the loop: fifty
times the price of a scan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

_WITHOUT_RUNTIME: dict[str, Any] = {"nogil": True, "_nrt": False}


def kernel(signature: Any, **options: Any) -> Callable[[Function], Function]:
    """Compile a function for this one signature; ``options`` are those of ``numba.njit``."""
    compiled: Callable[[Function], Function] = njit(
        signature, cache=True, **_WITHOUT_RUNTIME, **options
    )
    return compiled


def inlined(function: Function) -> Function:
    """Compile a helper into whoever calls it."""
    compiled: Function = njit(inline="always", **_WITHOUT_RUNTIME)(function)
    return compiled
