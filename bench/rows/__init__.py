"""One module a stage; ``REGISTRY`` names who measures which row."""

from __future__ import annotations

from collections.abc import Callable

from rows import (
    book,
    calls,
    decode,
    detect,
    memory,
    order,
    processes,
    ring,
    sockets,
    submit,
    verdict,
)
from runner.judge import Row
from runner.kit import Kit

Measure = Callable[[Kit, list[str]], list[Row]]

REGISTRY: dict[str, Measure] = {
    **dict.fromkeys(("ring_hop", "ring_rate"), ring.measure),
    **dict.fromkeys(("decode_change", "decode_snapshot"), decode.measure),
    **dict.fromkeys(
        ("ws_rtt_native", "ws_rtt_native_tls", "ws_rtt_picows", "ws_receive_native"),
        sockets.measure,
    ),
    "ws_calls_50": calls.measure,
    "frame_to_verdict": verdict.measure,
    "book_update": book.measure,
    **dict.fromkeys(("detect_sweep", "detect_pair", "detect_set", "signal_tick"), detect.measure),
    "tick_to_order_fused": order.measure,
    "tick_to_order_processes": processes.measure,
    **dict.fromkeys(
        ("order_pooled", "order_unpooled", "order_sign", "order_transport"), submit.measure
    ),
    **dict.fromkeys(("jemalloc_time", "jemalloc_resident"), memory.measure),
}
"""Row id to the function that measures it; rows that share one are measured in one go."""
