"""Which transport reads the market sockets: as asked for, and as the machine allows."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from overround.clock import NS_PER_MS
from overround.config.schema import Settings
from overround.errors import HostError
from overround.host.uring import Shape, probe
from overround.ingress.native import GuardedEngine, NativeLinks
from overround.ingress.transport import Links, LinksOwner
from overround.shm.tap import TapWriter

__all__ = ["choose_shape", "make_links"]

_LINKS_SPARE = 16
"""Connections above the need: markets that leave keep a socket from being filled up."""


def make_links(
    settings: Settings,
    owner: LinksOwner,
    engine: GuardedEngine,
    tap: TapWriter | None,
    markets_max: int,
    on_fatal: Callable[[BaseException], None],
) -> Links | NativeLinks:
    """Return the transport; without io_uring picows, told in one line. Needs a running loop.

    Raises HostError where ``ingress.native`` is ``on`` and cannot be.
    """
    log = structlog.get_logger()
    url, ingress = settings.venue.ws_market_url, settings.ingress
    connect_timeout_s = settings.venue.request_timeout_ms / 1_000
    shape, cause = choose_shape(ingress.native, Shape(ingress.native_shape))
    if shape is None:
        if ingress.native != "off":
            log.warning("no io_uring: picows serves the market sockets", cause=cause)
        return Links(
            url,
            owner,
            frame_bytes_max=ingress.frame_bytes_max,
            connect_timeout_s=connect_timeout_s,
            on_fatal=on_fatal,
        )
    log.info("io_uring serves the market sockets", shape=shape.value)
    return NativeLinks(
        url,
        owner,
        frame_bytes_max=ingress.frame_bytes_max,
        connect_timeout_s=connect_timeout_s,
        on_fatal=on_fatal,
        shape=shape,
        engine=engine,
        tap=tap,
        burst_ns=ingress.burst_ms * NS_PER_MS,
        links_max=_links_max(markets_max, ingress.assets_per_socket),
        cpus=settings.cpu.native_cpus,
    )


def choose_shape(native: str, shape: Shape) -> tuple[Shape | None, str]:
    """Return the shape to use, or None and the cause why picows is to serve.

    ``native`` is the setting ``auto``, ``on`` or ``off``. Raises HostError where ``on`` cannot be.
    """
    if native == "off":
        return None, "ingress.native is off"
    found = probe(shape)
    if found.usable:
        return shape, ""
    if native == "on":
        raise HostError(f"ingress.native is on, but there is no io_uring here: {found.cause}")
    return None, found.cause


def _links_max(markets_max: int, assets_per_socket: int) -> int:
    """Return how many connections a full shard may have, as many of them again still ending."""
    sockets = -(-markets_max // max(1, assets_per_socket // 2))
    return 2 * sockets + _LINKS_SPARE
