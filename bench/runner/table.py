"""The rows: what each asks, which way is better, and the ratio that is wanted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TABLE", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table of targets."""

    id: str
    question: str
    sense: str
    """``lower`` or ``higher``: which ratio is better."""
    target: float | None
    """None: reported, not judged."""
    unit: str
    p99_target: float | None = None


TABLE: dict[str, Target] = {
    target.id: target
    for target in (
        Target(
            "ring_hop",
            "One-line record between two processes, against a cache-line ping-pong",
            "lower", 1.3, "ns", 1.6,
        ),
        Target("ring_rate", "Records a second, against a bare C ring", "higher", 0.4, "M/s"),
        Target(
            "ws_rtt_native",
            "512 B echo over the io_uring transport, against a C client that spins",
            "lower", 1.15, "us",
        ),
        Target(
            "ws_rtt_native_tls",
            "The same over TLS 1.3, against a C client that spins",
            "lower", 1.25, "us",
        ),
        Target(
            "ws_rtt_picows",
            "512 B echo over picows with a loop kept busy, against the C client",
            "lower", 1.5, "us",
        ),
        Target(
            "ws_receive_native",
            "512 B messages a second into books, against a C client that only receives",
            "higher", 0.3, "k/s",
        ),
        Target(
            "ws_calls_50",
            "System calls a message with 50 sockets on one core, picows against native",
            "higher", 3.0, "calls/message",
        ),
        Target(
            "decode_change",
            "price_change bytes to integers, against a C scanner of that one shape",
            "lower", 1.2, "ns",
        ),
        Target(
            "decode_snapshot",
            "book bytes to integers, against a C scanner of that one shape",
            "lower", 1.3, "ns",
        ),
        Target(
            "frame_to_verdict",
            "price_change bytes to book to verdict, against decode floor + two book floors",
            "lower", 1.6, "ns",
        ),
        Target(
            "book_update",
            "Set one level and read the best price, against a flat C book",
            "lower", 1.2, "ns",
        ),
        Target(
            "detect_sweep",
            "10,000 markets checked, a market, against an AVX-512 float32 C kernel",
            "lower", 2.0, "ns",
        ),
        Target(
            "detect_pair",
            "A pair of markets priced both ways, against a C gather kernel",
            "lower", 1.2, "ns",
        ),
        Target(
            "detect_set",
            "A set of five priced both ways, against a C gather kernel",
            "lower", 1.2, "ns",
        ),
        Target(
            "signal_tick",
            "z-score, Bollinger bands and EWMA of one tick, against C",
            "lower", 1.3, "ns",
        ),
        Target(
            "tick_to_order_fused",
            "Frame on a socket to order bytes on a socket, one process, unsigned",
            "lower", 1.3, "us", 1.5,
        ),
        Target(
            "tick_to_order_processes",
            "The same through the real processes, gate, journal and signature included",
            "lower", None, "us",
        ),
        Target(
            "order_pooled",
            "Intent in the ring to the order's last byte, signed ahead, against a C floor",
            "lower", 3.0, "us",
        ),
        Target(
            "order_unpooled",
            "The same, signed when the intent came, against py-clob-client-v2 with coincurve",
            "lower", 0.1, "us",
        ),
        Target(
            "order_sign",
            "Digest and signature of an order, against bare libsecp256k1 and keccak",
            "lower", 1.3, "us",
        ),
        Target(
            "order_transport",
            "POST of an order to its answer, against a blocking socket that sends made bytes",
            "lower", None, "us",
        ),
        Target(
            "jemalloc_time",
            "An update that makes and drops objects and buffers, jemalloc against glibc",
            "lower", None, "us",
        ),
        Target(
            "jemalloc_resident",
            "Resident memory after such updates, jemalloc against glibc",
            "lower", None, "MB",
        ),
    )
}  # fmt: skip
