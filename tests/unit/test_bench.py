"""The bench's own rules: what is judged, what is refused, and that every row is there."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from rows import REGISTRY, sockets, submit  # noqa: E402
from runner import report, stored  # noqa: E402
from runner.host import choose_cpus  # noqa: E402
from runner.judge import Row, Series, judge, unmeasured  # noqa: E402
from runner.kit import Kit  # noqa: E402
from runner.table import TABLE  # noqa: E402

IDS = {
    "ring_hop", "ring_rate", "ws_rtt_native", "ws_rtt_native_tls", "ws_rtt_picows",
    "ws_receive_native", "ws_calls_50", "decode_change", "decode_snapshot", "frame_to_verdict",
    "book_update", "detect_sweep", "detect_pair", "detect_set", "signal_tick",
    "tick_to_order_fused", "tick_to_order_processes",
}  # fmt: skip
BESIDE = {"order_pooled", "order_unpooled", "order_sign", "order_transport", "jemalloc_time",
          "jemalloc_resident"}  # fmt: skip
KEYS = {
    "id", "sense", "ratio", "target", "ok", "judged", "why", "subject", "floor", "peers", "unit",
    "p99_ratio",
}  # fmt: skip
EDGES = 201
"""Of the late client; odd, so that its stall meets one."""
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'bench'}{os.pathsep}{ROOT / 'tests'}"}


def rounds(ratio: float, spread: float, count: int = 60) -> tuple[Series, Series]:
    """A subject that takes ``ratio`` of its floor, each round moved by up to ``spread``."""
    rng = random.Random(3)
    floor = [100.0 * rng.uniform(1, 1 + spread) for _ in range(count)]
    return Series([100.0 * ratio * rng.uniform(1, 1 + spread) for _ in floor]), Series(floor)


def test_every_row_has_a_target_and_somebody_who_measures_it():
    assert set(TABLE) == set(REGISTRY) == IDS | BESIDE


def test_a_quiet_run_is_judged_either_way():
    good, bad = judge("ring_hop", *rounds(1.1, 0.05)), judge("ring_hop", *rounds(1.6, 0.05))
    assert (good.judged, good.ok, good.why) == (True, True, "")
    assert (bad.judged, bad.ok) == (True, False)
    assert bad.why == f"missed by {bad.ratio / 1.3 - 1:.0%}"  # type: ignore[operator]


def test_a_noisy_run_is_not_judged():
    subject, floor = rounds(1.1, 0.05)
    subject.p50 = [value * (1 + 0.4 * (n // 12 % 2)) for n, value in enumerate(subject.p50)]
    row = judge("ring_hop", subject, floor)
    assert not row.judged
    assert row.ok is None
    assert row.why.startswith("noisy")


def test_a_run_whose_parts_disagree_is_not_judged():
    subject, floor = rounds(1.3, 0.0)
    subject.p50 = [value * (1.01 if n < 30 else 0.99) for n, value in enumerate(subject.p50)]
    row = judge("ring_hop", subject, floor)
    assert not row.judged
    assert "too close" in row.why


def test_noise_does_not_hide_what_is_far_from_the_target():
    subject, floor = rounds(0.2, 0.0)
    subject.p50 = [value * (1 + n // 12 % 2) for n, value in enumerate(subject.p50)]
    assert judge("ring_hop", subject, floor).ok


def test_a_refusal_and_too_few_rounds_are_not_judged():
    refused = judge("ring_hop", *rounds(1.1, 0.0), refusals=["siblings"])
    assert (refused.judged, refused.why) == (False, "siblings")
    assert not judge("ring_hop", *rounds(1.1, 0.0, count=5)).judged


def test_higher_is_better_for_rates():
    assert judge("ring_rate", *rounds(0.5, 0.01)).ok
    assert judge("ring_rate", *rounds(0.3, 0.01)).ok is False


def test_siblings_are_never_paired():
    siblings = {cpu: {cpu, cpu ^ 1} for cpu in range(4)}
    assert choose_cpus({0, 1, 2, 3}, siblings) == (1, 3)
    assert choose_cpus({2, 3}, siblings) == (3,)


def example_host() -> dict[str, Any]:
    return {
        "cpu": "some <cpu>", "cpus": 2, "virtual": True, "kernel": "6", "governor": "g",
        "compiler": "gcc", "python": "3.11", "packages": {"numba": "1"}, "cpus_used": [0, 1],
        "fifo": "granted", "load": [0, 0, 0], "isolated": "", "commit": "abc", "uncommitted": False,
        "date": "today", "peers_missing": {"x": "no registry"},
    }  # fmt: skip


def test_both_pages_show_every_row_its_verdict_and_its_histogram():
    rows = [judge("ring_hop", *rounds(1.1, 0.05), peers={"a<b": 3.0}),
            unmeasured("ws_rtt_native", "no io_uring")]  # fmt: skip
    text, page = report.markdown(example_host(), rows), report.page(example_host(), rows)
    assert "| `ring_hop` | ≤ 1.3 | 1.1 |" in text
    assert "Not judged: no io_uring." in text
    assert "no registry" in text
    assert any(bar in text for bar in report.BARS)
    assert "<svg" in page
    assert "a&lt;b" in page
    assert "some <cpu>" not in page


def test_stored_runs_are_told_as_one_by_the_middle_ratio(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(stored, "BUILD", tmp_path)
    runs = []
    for n, ratio in enumerate((1.1, 1.25, 1.0)):
        rows = [judge("ring_hop", *rounds(ratio, 0.01)), unmeasured("ws_rtt_native", "none")]
        path = stored.store({**example_host(), "date": f"day {n}"}, rows)
        runs.append(stored.load(path))
    host, (hop, echo) = stored.merged(runs)
    assert host["date"] == "day 2"
    assert round(hop.ratio or 0, 1) == 1.1
    assert hop.ok
    assert "judged in 3 of 3" in hop.notes["ratios of 3 runs"]
    assert echo.why == "none"
    assert "1.25" in report.markdown(host, [hop, echo])


def test_runs_that_disagree_about_a_verdict_have_none():
    runs = [({}, [judge("ring_hop", *rounds(ratio, 0.01))]) for ratio in (1.1, 1.5, 1.2)]
    ((row,),) = stored.merged(runs)[1:]
    assert (row.judged, row.ok, row.why) == (False, None, "runs disagree about the verdict")


def series_of(names: dict[str, float], count: int = 1_500) -> dict[str, list[float]]:
    rng = random.Random(5)
    return {n: [1e3 * us * rng.uniform(1, 1.02) for _ in range(count)] for n, us in names.items()}


def test_rows_of_the_order_path_are_made_of_single_orders():
    taken = series_of(
        {"floor": 10, "pooled": 20, "unpooled": 60, "sign": 30, "bare": 25, "client_sent": 900}
    )
    made = {name: submit.order_row(name, taken, 60) for name in submit.ROWS}
    assert {name: round(row.ratio or 0, 2) for name, row in made.items()} == {
        "order_pooled": 2.0, "order_unpooled": 0.07, "order_sign": 1.2
    }  # fmt: skip
    assert all(row.ok and row.rounds == 60 for row in made.values())
    assert round(made["order_pooled"].peers[submit.OFFICIAL]) in (909, 910)
    del taken["client_sent"]
    assert "not installed" in submit.order_row("order_unpooled", taken, 60).why


def test_the_transport_row_names_every_client():
    took = series_of({"floor": 20, "ours": 30, "aiohttp": 90, "httpx": 400})
    row = submit.transport_row({"took": took, "cpu_us": dict.fromkeys(took, 9.0)}, 20)
    assert set(row.peers) == {"aiohttp", "httpx"}
    assert round(row.ratio or 0, 1) == 1.5


def late_client(port: int, period_us: int, stall_s: float) -> dict[str, float]:
    """Answer every second frame with an order, one of them so much too late; return the report."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as frames:
        frames.sendall(
            f"GET /ticks/{period_us} HTTP/1.1\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode()
        )
        stream = frames.makefile("rb")
        while stream.readline() != b"\r\n":
            pass
        orders = socket.create_connection(("127.0.0.1", port), timeout=30)
        frames.sendall(bytes((0x81, 0x82, 0, 0, 0, 0)) + b"go")
        for number in range(10_000):
            size = stream.read(2)[1]
            size = int.from_bytes(stream.read(2), "big") if size == 126 else size
            text = stream.read(size)
            if text.startswith(b'{"p50"'):
                orders.close()
                return dict(json.loads(text))
            if number >= 2 and number % 2:
                time.sleep(stall_s if number == EDGES else 0)
                orders.sendall(b"POST /order HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
                orders.recv(4_096)
    raise AssertionError("no report")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the server needs a compiler")
def test_an_order_that_is_late_makes_the_frames_behind_it_late(tmp_path: Path):
    kit = Kit(fifo=False, cpus=tuple(sorted(os.sched_getaffinity(0)))[:2])
    corpus = tmp_path / "ticks.corpus"
    text = b'{"n":0}'
    frames = 2 * EDGES + 2
    corpus.write_bytes(struct.pack("<I", frames) + frames * (struct.pack("<I", 7) + text))
    with sockets.serving(kit, corpus) as server:
        report = late_client(server.plain, period_us=500, stall_s=0.05)
    assert report["late"] >= EDGES // 10
    assert report["p99"] >= 20e6
    assert report["p50"] >= report["served_p50"] > 0


def gate(rows: list[Row], folder: Path, *options: str) -> int:
    file = folder / "result.json"
    file.write_text(json.dumps({"host": {}, "rows": [row.as_json() for row in rows]}))
    command = [sys.executable, str(ROOT / "scripts/latency-gate"), "--json", str(file), *options]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


def test_the_gate_fails_for_misses_and_says_when_it_cannot_judge(tmp_path: Path):
    good, bad = judge("ring_hop", *rounds(1.1, 0.0)), judge("ring_rate", *rounds(0.3, 0.0))
    unclear = unmeasured("ws_rtt_native", "no io_uring")
    assert gate([good], tmp_path) == 0
    assert gate([good, bad, unclear], tmp_path) == 1
    assert gate([good, unclear], tmp_path) == 77
    assert gate([good, unclear], tmp_path, "--allow-unjudged") == 0
    good.p99_ratio = 2.0
    assert gate([good], tmp_path, "--p99") == 1


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the floors need a compiler")
def test_a_short_run_writes_host_and_rows(tmp_path: Path):
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", "runner.main", "book_update", "--rounds",
               "10", "--no-peers", "--no-fifo", "--json", str(file)]  # fmt: skip
    done = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True,
                          timeout=150, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert {"cpu", "kernel", "commit", "fifo", "load", "date"} <= set(result["host"])
    assert [row["id"] for row in result["rows"]] == ["book_update"]
    for row in result["rows"]:
        assert set(row) == KEYS
        assert row["ratio"] > 0, row["why"]


def test_a_wrong_name_is_refused():
    command = [sys.executable, "-m", "runner.main", "no_such_row"]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True)
    assert done.returncode == 2
