"""How long does an event take through the real processes, from its frame to the order's bytes?

Ingress, detector and executor under their supervisor, as ``overround demo`` starts and places
them, against an exchange in the box that opens an edge several times a second: many events in
little time. Prints the stages' latencies as JSON. The exchange and its traders share the CPUs.

Run: .venv/bin/python bench/path/processes.py [--seconds 12] [--edge-every 0.2] [--seed 7]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from overround.cli.demo import KEY_VARIABLE, PLAY_MONEY, demo_settings
from overround.cli.session import run_to_the_end
from overround.observe.log import configure_logging
from overround.shm.process import die_with_parent
from overround.supervise.supervisor import Supervisor

HOLD_MS = 100
"""So long an edge stands that nobody takes: about the time between two."""


def measure(seconds: float, edge_every_s: float, seed: int) -> dict[str, Any]:
    """Return the supervisor's report of a run of so many seconds."""
    command = [
        sys.executable, "-m", "overround.cli.main", "sim", "--json", "--seed", seed,
        "--cash", PLAY_MONEY, "--edge-every", edge_every_s, "--edge-hold-ms", HOLD_MS,
    ]  # fmt: skip
    exchange = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, start_new_session=True,
        preexec_fn=die_with_parent,
    )  # fmt: skip
    assert exchange.stdout is not None
    try:
        with tempfile.TemporaryDirectory(prefix="overround-bench-") as folder:
            ready = json.loads(exchange.stdout.readline())
            configure_logging("supervisor", "sim")
            environment = {**os.environ, KEY_VARIABLE: ready["accounts"][0]["private_key"]}
            settings = demo_settings(ready, Path(folder))
            supervisor = Supervisor(
                settings, environment=environment, external={"exchange": exchange}
            )
            return run_to_the_end(supervisor, seconds)
    finally:
        exchange.terminate()
        exchange.wait()
        exchange.stdout.close()


def main() -> int:
    """Run it and print the stages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--edge-every", type=float, default=0.2, help="mean seconds between edges")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    report = measure(options.seconds, options.edge_every, options.seed)
    print(json.dumps({"stage_latency_ns": report["stage_latency_ns"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
