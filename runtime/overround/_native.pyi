"""The C core. Untyped on purpose: the typed skins are `overround.shm` and `overround.book`."""

from typing import Any

ffi: Any
lib: Any
