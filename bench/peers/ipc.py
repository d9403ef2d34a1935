"""One way between two Python processes, 64 bytes, p50 in ns: half of there and back.

multiprocessing's queue and pipe, pyzmq's PAIR sockets over ipc:// (blocking), iceoryx2's
publish-subscribe (spinning). Each end is pinned to a CPU of its own.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

HOPS = 3_000
WARM = 300
DATA = b"x" * 64
CPUS = [int(cpu) for cpu in os.environ.get("BENCH_CPUS", "0,1").split(",")]

Ends = tuple[Callable[[bytes], object], Callable[[], object]]


def pin(nth: int) -> None:
    os.sched_setaffinity(0, {CPUS[nth % len(CPUS)]})


def queue_ends(parts: Any, nth: int) -> Ends:
    return parts[nth].put, parts[1 - nth].get


def pipe_ends(parts: Any, nth: int) -> Ends:
    return parts[nth].send_bytes, parts[nth].recv_bytes


def zmq_ends(parts: Any, nth: int) -> Ends:
    import zmq

    socket = zmq.Context().socket(zmq.PAIR)
    (socket.bind if nth == 0 else socket.connect)(f"ipc://{parts}")
    return socket.send, socket.recv


def iceoryx_ends(parts: Any, nth: int) -> Ends:
    import ctypes

    import iceoryx2 as iox2

    iox2.set_log_level_from_env_or(iox2.LogLevel.Fatal)

    class Payload(ctypes.Structure):
        _fields_ = (("words", ctypes.c_uint8 * 64),)

    node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)

    def service(way: int) -> Any:
        name = iox2.ServiceName.new(f"{parts}-{way}")
        return node.service_builder(name).publish_subscribe(Payload).open_or_create()

    services = service(nth), service(1 - nth)
    publisher = services[0].publisher_builder().create()
    subscriber = services[1].subscriber_builder().create()
    message = Payload()

    def get() -> object:
        while True:
            sample = subscriber.receive()
            if sample is not None:
                return sample

    def put(_: bytes) -> None:
        publisher.send_copy(message)

    put.keep = (node, services)  # type: ignore[attr-defined]
    return put, get


def answer(make: Callable[[Any, int], Ends], parts: Any, ready: Any, hops: int) -> None:
    pin(1)
    put, get = make(parts, 1)
    ready.set()
    for _ in range(hops):
        get()
        put(DATA)
    time.sleep(0.2)


def measure(make: Callable[[Any, int], Ends], parts: Any) -> float:
    ready = multiprocessing.Event()
    hops = HOPS + WARM
    child = multiprocessing.Process(target=answer, args=(make, parts, ready, hops), daemon=True)
    child.start()
    put, get = make(parts, 0)
    ready.wait(20)
    time.sleep(0.2)
    took = []
    for _ in range(hops):
        begun = time.perf_counter_ns()
        put(DATA)
        get()
        took.append(time.perf_counter_ns() - begun)
    child.join(5)
    return median(took[WARM:]) / 2


@contextlib.contextmanager
def ipc_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/pair"


def main() -> None:
    pin(0)
    found, missing = {}, {}
    with ipc_path() as path:
        cases: dict[str, tuple[Callable[[Any, int], Ends], Any]] = {
            "multiprocessing.Queue": (
                queue_ends, (multiprocessing.Queue(), multiprocessing.Queue())),
            "multiprocessing.Pipe": (pipe_ends, multiprocessing.Pipe()),
            "pyzmq PAIR ipc": (zmq_ends, path),
            "iceoryx2": (iceoryx_ends, f"bench-{os.getpid()}"),
        }  # fmt: skip
        for name, (make, parts) in cases.items():
            try:
                found[name] = measure(make, parts)
            except Exception as error:
                missing[name] = f"{type(error).__name__}: {error}"
    json.dump({**found, "missing": missing}, sys.stdout)


if __name__ == "__main__":
    main()
