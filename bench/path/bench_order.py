"""How long from a strategy's intent in the ring to the last byte handed to the socket?

Every row is timed in the same run, round by round in turn, so that all of them meet the same
caches, clock and neighbours. Read the ratios; microseconds are those of this machine.

    floor       order_floor.c: ring read, book compare, HMAC, three journal records, one send
    pooled      the executor's own code, the order signed ahead and permitted; a plain socket
    unpooled    the same, judged by the gate's leeway and signed when the intent came
    burst       the same right behind another order: the leeway as well when the intent came
    submit      unpooled up to the request's bytes: nothing is sent
    judged      pooled, the ordinary way: gate, records and request in Python
    ordinary    unpooled, the ordinary way
    build       amounts, signature, body and authenticated request: what `client` does
    sign        digest, signature and the body that carries them
    bare        libsecp256k1 (that of coincurve) and keccak over the same bytes, nothing else
    client      py-clob-client-v2 with coincurve: build, sign, serialise, L2 headers; no network
    client_sent py-clob-client-v2 whole: create_and_post_order to the last byte, same sink

Ours go the way of production from the ring to the socket, the client's own gates included (pauses,
rate tokens, a look at the idle socket); only the event loop is left out. The official client has
neither ring, gate, journal nor accounts: what it is compared with does more.
The sink is another process that reads a loopback TCP connection and never answers. The executor
is the real one: shared ring, catalog and board, journal in a folder, risk gate, store. News goes
to a list-like stand-in, which production tells after the bytes have left as well.

Run: .venv/bin/python bench/path/bench_order.py [--rounds 2000] [--json] [--folder DIR]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import sha3
from official_submit import official_submit
from order_rig import CREDENTIALS, KEY, OWNER, ROOT, SECRET, SHARE, YES, Rig, Sink

from overround import clock
from overround._native import ffi
from overround.layout.intent import INTENT
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.auth import Signer
from overround.venues.polymarket.forms import OrderForm
from overround.venues.polymarket.orders import OrderParams, exchange_domain

FLOOR_SOURCES = ("broadcast", "clock", "crc32c", "segment", "sleep", "slots", "spsc")
FLOOR_DECLARATIONS = """
struct floor_job { void *ring; void *board; uint64_t market; uint8_t *journal;
    uint64_t journal_bytes; const void *intent; const uint8_t *records; uint32_t record_bytes[3];
    uint8_t *request; uint32_t request_bytes, signature_at, signed_from; int socket; ...; };
void floor_mac_init(void *mac, const uint8_t *key, size_t size);
int floor_run(const void *mac, struct floor_job *job, uint32_t rounds, int64_t *ret_ns);
"""


class Floor:
    """The C floor over a rig's ring and board."""

    def __init__(self, rig: Rig, sink: Sink, folder: Path) -> None:
        library = folder / "order_floor.so"
        native = ROOT / "native"
        subprocess.run(
            ["cc", "-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC",
             f"-I{native / 'include'}", str(ROOT / "bench/limits/order_floor.c"),
             *(str(native / "src" / f"{name}.c") for name in FLOOR_SOURCES),
             "-lcrypto", "-o", str(library)],
            check=True,
        )  # fmt: skip
        self._ffi = cffi.FFI()
        self._ffi.cdef(FLOOR_DECLARATIONS.replace(" ...;", ""))
        self._lib = self._ffi.dlopen(str(library))
        self._rig = rig
        self._mac = self._ffi.new("uint8_t[512]")
        self._lib.floor_mac_init(self._mac, b"k" * 32, 32)
        rig.round(send=False)
        submission = rig.submission
        assert submission is not None
        request = rig.encode(submission.request)
        sizes = [
            len(raw) for raw in (b"i" * 230, b"s" * (130 + len(submission.request.body)), b"t" * 80)
        ]
        with (folder / "floor-journal").open("w+b") as file:
            file.truncate(64 * 2**20)
            self._map = np.memmap(file, dtype=np.uint8, mode="r+")
        new = self._ffi.new
        self._keep = (
            new("uint8_t[]", sum(sizes)), new("uint8_t[]", request), np.zeros(1, INTENT),
        )  # fmt: skip
        job = self._job = new("struct floor_job *")
        regions = rig.regions
        job.ring = self._pointer(regions.intents_segment.pointer)
        job.board = self._pointer(regions.board_segment.pointer)
        job.journal = self._ffi.from_buffer("uint8_t[]", self._map)
        job.journal_bytes = len(self._map)
        job.records, job.record_bytes = self._keep[0], sizes
        job.request, job.request_bytes = self._keep[1], len(request)
        job.signature_at = request.index(b"POLY_SIGNATURE: ") + 16
        job.signed_from = request.index(b"\r\n\r\n") + 4
        job.socket = sink.socket.fileno()
        intent = self._keep[2]
        intent["price_ticks"], intent["size_lots"], intent["expires_ns"] = 5_000, SHARE, 2**62
        job.intent = self._ffi.from_buffer(intent)
        self._elapsed = new("int64_t *")

    def _pointer(self, pointer: Any) -> Any:
        return self._ffi.cast("void *", int(ffi.cast("uintptr_t", pointer)))

    def round(self) -> int:
        """One round of the floor; returns nanoseconds."""
        status = self._lib.floor_run(self._mac, self._job, 1, self._elapsed)
        assert status == 0, f"step {status} of the floor failed"
        consumer = self._rig.regions.consumer
        consumer.position = self._rig.regions.intents_segment.cursor
        return int(self._elapsed[0])


def timed(work: Callable[[], object]) -> Callable[[], int]:
    """Return a round that times one call."""

    def round_() -> int:
        begun_ns = clock.monotonic_ns()
        work()
        return clock.monotonic_ns() - begun_ns

    return round_


def signing() -> tuple[Callable[[], object], Callable[[], object]]:
    """Return our signing of one order, its body included, and the bare calls it needs at least."""
    from coincurve._libsecp256k1 import ffi as curve_ffi
    from coincurve._libsecp256k1 import lib as curve
    from coincurve.context import GLOBAL_CONTEXT

    signer, domain = Signer(KEY), exchange_domain(neg_risk=False)
    salts = iter(range(1, 2**40))
    sample = OrderParams(0, signer.address, signer.address, int(YES), 0, 0, 0, 0, 0)
    form = OrderForm(signer, sample, domain, OWNER, OrderType.FAK, post_only=False)

    def sign() -> object:
        salt = next(salts)
        return form.fill(salt, 5_000_000, 10_000_000, 1_795_000_000_000 + salt)

    words, prefixed = bytearray(384), bytearray(66)
    key = bytes.fromhex(KEY[2:])
    signature = curve_ffi.new("secp256k1_ecdsa_recoverable_signature *")
    output, recovery = curve_ffi.new("unsigned char[64]"), curve_ffi.new("int *")
    context = GLOBAL_CONTEXT.ctx

    def bare() -> object:
        words[32:40] = next(salts).to_bytes(8, "big")
        prefixed[34:66] = sha3.keccak_256(words).digest()
        message = sha3.keccak_256(prefixed).digest()
        null = curve_ffi.NULL
        assert curve.secp256k1_ecdsa_sign_recoverable(context, signature, message, key, null, null)
        curve.secp256k1_ecdsa_recoverable_signature_serialize_compact(
            context, output, recovery, signature
        )
        return output

    return sign, bare


def official_client() -> Callable[[], object] | None:
    """Return py-clob-client-v2's work for the same order, None where it is not installed."""
    os.environ["ECC_BACKEND_CLASS"] = "eth_keys.backends.CoinCurveECCBackend"
    try:
        from py_clob_client_v2 import clob_types
        from py_clob_client_v2.headers.headers import create_level_2_headers
        from py_clob_client_v2.order_builder.builder import OrderBuilder as ClientBuilder
        from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
        from py_clob_client_v2.signer import Signer as ClientSigner
    except ImportError:
        return None
    signer = ClientSigner(KEY, 137)
    builder = ClientBuilder(signer)
    creds = clob_types.ApiCreds(OWNER, SECRET, "f" * 64)
    options = clob_types.CreateOrderOptions(tick_size="0.01", neg_risk=False)

    def work() -> object:
        arguments = clob_types.OrderArgsV2(token_id=YES, price=0.5, size=10, side="BUY")
        payload = order_to_json_v2(builder.build_order(arguments, options, 2), OWNER, "FAK")
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        request = clob_types.RequestArgs(
            method="POST", request_path="/order", body=payload, serialized_body=body
        )
        return create_level_2_headers(signer, creds, request)

    return work


RATIOS = (
    ("pooled", "floor", 3.0, "at most"),
    ("sign", "bare", 1.3, "at most"),
    ("client_sent", "unpooled", 10.0, "at least"),
    ("client", "build", 10.0, "at least"),
    ("client", "submit", 10.0, "at least"),
    ("unpooled", "floor", 0.0, ""),
    ("burst", "floor", 0.0, ""),
    ("judged", "floor", 0.0, ""),
    ("ordinary", "floor", 0.0, ""),
)

PLACES = ("p05", "p50", "p99")
PAUSE_NS = 100_000
"""Before every row: the sink falls asleep, so that each send has to wake it."""


def measure(rounds: int, folder: Path) -> tuple[dict[str, list[int]], int]:
    """Return the nanoseconds of every row, round by round in turn, and the pool's hits.

    A tenth more rounds, at the beginning, warm it up and are left out.
    """
    sink = Sink()
    rigs = pooled, judged, unpooled, ordinary = [
        Rig(folder / name, sink, pooled=name in ("pooled", "judged"))
        for name in ("pooled", "judged", "unpooled", "ordinary")
    ]
    for rig in (pooled, judged):
        rig.round()  # so that the pool knows what is wanted
    floor = Floor(unpooled, sink, folder)
    sign, bare = signing()
    client, whole = official_client(), official_submit(sink.socket, KEY, CREDENTIALS, YES)
    rows: dict[str, Callable[[], int]] = {
        "floor": floor.round,
        "pooled": pooled.prompt,
        "unpooled": unpooled.prompt,
        "burst": lambda: unpooled.prompt(idle=False),
        "submit": lambda: unpooled.prompt(send=False),
        "judged": judged.round,
        "ordinary": ordinary.round,
        "build": timed(unpooled.build),
        "sign": timed(sign),
        "bare": timed(bare),
    }
    if client is not None:
        rows["client"] = timed(client)
    if whole is not None:
        rows["client_sent"] = whole
    taken: dict[str, list[int]] = {name: [] for name in rows}
    gc.collect()
    gc.freeze()
    gc.disable()  # as the executor does
    try:
        for _ in range(rounds + 1 + rounds // 10):
            for name, round_ in rows.items():
                begun_ns = clock.monotonic_ns()
                while clock.monotonic_ns() - begun_ns < PAUSE_NS:
                    pass
                taken[name].append(round_())
    finally:
        gc.enable()
        for rig in rigs:
            rig.close()
        sink.close()
    hits = pooled.news.counts[Value.POOL_HITS]
    return {name: values[1 + rounds // 10 :] for name, values in taken.items()}, hits


def quantiles(values: list[int]) -> dict[str, int]:
    """Return the twentieth, the median and the hundredth from the top, nanoseconds.

    The fastest twentieth is what a busy machine disturbs least.
    """
    ordered = sorted(values)
    places = (len(ordered) // 20, len(ordered) // 2, len(ordered) * 99 // 100)
    return {f"{name}_ns": ordered[at] for name, at in zip(PLACES, places, strict=True)}


def main() -> int:
    """Run it and print one table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="journals go here; default is a new folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        taken, hits = measure(options.rounds, Path(name))
    rows = {name: quantiles(values) for name, values in taken.items()}
    ratios: dict[str, dict[str, Any]] = {
        f"{one}/{other}": {
            **{place: round(rows[one][f"{place}_ns"] / rows[other][f"{place}_ns"], 2)
               for place in PLACES},
            "goal": f"{how} {goal:g}" if how else "",
        }
        for one, other, goal, how in RATIOS
        if one in rows
    }  # fmt: skip
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}"
    if options.json:
        report = {
            "machine": machine, "rounds": options.rounds, "load": os.getloadavg()[0],
            "pool_hits": hits, "rows": rows, "ratios": ratios,
        }  # fmt: skip
        print(json.dumps(report))
        return 0
    print(f"{machine}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':11}" + "".join(f" {place + ' us':>9}" for place in PLACES))
    for name, row in rows.items():
        print(f"{name:11}" + "".join(f" {row[f'{place}_ns'] / 1e3:9.2f}" for place in PLACES))
    print(f"\n{'ratio':20}" + "".join(f" {place:>6}" for place in PLACES) + "  goal (p50)")
    for name, ratio in ratios.items():
        print(f"{name:20}" + "".join(f" {ratio[place]:6.2f}" for place in PLACES), ratio["goal"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
