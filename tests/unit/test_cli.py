"""The command line as a user meets it: a real process, one clear line, the right status."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from overround.cli.demo import start_exchange
from overround.cli.output import format_ns, print_report
from overround.cli.progress import progress_line
from overround.config.schema import ARMED_VARIABLE, Account, Memory, Mode, Settings
from overround.errors import HostError
from overround.host import allocator
from overround.host.check.finding import Verdict
from overround.host.check.run import run_checks
from overround.host.place import SEAT_REASONS
from overround.host.topology import read_topology
from overround.host.tree import Tree
from overround.supervise.placing import seats_of
from overround.supervise.process import child_environment

KEY = "11" * 32


def overround(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overround.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


def assert_one_clear_line(done: subprocess.CompletedProcess[str], status: int, *said: str) -> None:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("overround: ")
    for words in said:
        assert words in lines[0]


def test_help_names_every_command_and_where_to_start():
    done = overround("--help")
    assert done.returncode == 0
    for words in ("demo", "sim", "run", "replay", "stat", "doctor", "Start with: overround demo"):
        assert words in done.stdout


def test_help_does_not_pay_for_what_it_does_not_use():
    program = (
        "import sys; import overround.cli.main;"
        "heavy = {'numba', 'aiohttp', 'uvloop', 'coincurve', 'picows'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("demo", "--secnds", "3"), ("demo", "--seconds", "soon"), ("fly",), ("run",)],
)
def test_wrong_usage_is_status_2_and_names_the_offence(arguments: tuple[str, ...]):
    done = overround(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "rror" in done.stderr


def test_bad_configuration_is_one_line(tmp_path: Path):
    path = tmp_path / "bot.toml"
    path.write_text("[ingress]\nburst_mss = 3\n")
    done = overround("run", "--config", str(path))
    assert_one_clear_line(done, 2, str(path), "unknown key 'ingress.burst_mss'")


def test_missing_key_is_one_line(tmp_path: Path):
    path = tmp_path / "bot.toml"
    path.write_text('mode = "shadow"\n')
    done = overround("run", "-c", str(path), OVERROUND_PRIVATE_KEY="")
    assert_one_clear_line(done, 2, "OVERROUND_PRIVATE_KEY")


def test_live_mode_is_refused_without_arm(tmp_path: Path):
    path = tmp_path / "bot.toml"
    path.write_text('mode = "live"\n')
    done = overround("run", "-c", str(path), OVERROUND_PRIVATE_KEY=KEY)
    assert_one_clear_line(done, 3, "--arm")


def test_dead_venue_is_one_line_and_leaves_nothing(tmp_path: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    path = tmp_path / "bot.toml"
    path.write_text(
        f'instance = "dead-venue"\nrun_dir = "{tmp_path}"\n[venue]\ngamma_url = "{url}"\n'
    )
    done = overround("run", "-c", str(path), OVERROUND_PRIVATE_KEY=KEY)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("overround: GET " + url)
    assert "check [venue]" in last
    assert KEY not in done.stderr
    assert not [name for name in os.listdir("/dev/shm") if "dead-venue" in name]


def test_stat_without_an_instance_is_one_line():
    done = overround("stat", "--instance", "nobody", "--json")
    assert_one_clear_line(done, 1, "start one with: overround demo")


def test_exchange_on_a_taken_port_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_clear_line(overround("sim", "--port", str(port)), 1, str(port))


def test_replay_of_a_missing_file_is_one_line(tmp_path: Path):
    done = overround("replay", str(tmp_path / "none.ndjson"), "--json")
    assert_one_clear_line(done, 2, "none.ndjson")


def test_doctor_tells_value_verdict_reason_and_remedy(tmp_path: Path):
    path = tmp_path / "bot.toml"
    path.write_text('instance = "alpha"\n')
    arguments = ("doctor", "--no-jitter", "--config", str(path))
    done = overround(*arguments, "--json", OVERROUND_PRIVATE_KEY="")
    findings = json.loads(done.stdout)["findings"]
    assert len(findings) == len(list(run_checks())) + 3 + 2
    by_name = {finding["check"]: finding for finding in findings}
    assert by_name["private key"]["verdict"] == "bad"
    assert by_name["configuration"]["value"] == "instance alpha, mode shadow"
    seats = seats_of(Settings(), read_topology(Tree())).seats
    for name, seat in seats.items():  # where the supervisor would put them, and why
        assert seat.wait.name.lower() in by_name[f"seat of {name}"]["value"]
        assert SEAT_REASONS[seat.seat_reason] in by_name[f"seat of {name}"]["why"]
    assert all(finding["value"] and finding["why"] for finding in findings)
    assert done.returncode == 1  # no key: not fit to trade
    again = overround(*arguments, OVERROUND_PRIVATE_KEY=KEY)
    assert "GOOD             private key: present" in again.stdout
    assert KEY not in again.stdout


def test_doctor_says_which_named_cpu_is_not_to_be_had(tmp_path: Path):
    path = tmp_path / "bot.toml"
    path.write_text("[cpu]\ncpus = [4000]\n")
    done = overround("doctor", "--no-jitter", "--config", str(path), "--json")
    (seats,) = [one for one in json.loads(done.stdout)["findings"] if one["check"] == "seats"]
    assert (done.returncode, seats["verdict"]) == (1, "bad")
    assert "cpu.cpus names CPU 4000" in seats["value"]


def test_checks_read_the_machine_and_never_fail():
    findings = list(run_checks())
    assert len({finding.check for finding in findings}) == len(findings)
    assert {finding.verdict for finding in findings} <= set(Verdict)
    bad = [finding for finding in findings if finding.verdict is not Verdict.GOOD]
    assert all(finding.why for finding in bad)


def test_jemalloc_is_found_by_asking_the_process_not_the_variable():
    library = allocator.find_jemalloc()
    if library is None:
        pytest.skip("libjemalloc2 is not installed")
    program = "from overround.host.allocator import jemalloc_version as v; print(v())"
    with_it, without = (
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LD_PRELOAD": preload},
        ).stdout.strip()
        for preload in (library, "")
    )
    assert with_it[0].isdigit()
    assert without == "None"


def test_arming_is_said_at_each_start_and_never_inherited():
    environment = {ARMED_VARIABLE: "1"}
    variable = Account().private_key_env
    for role in ("ingress", "detector", "executor"):
        assert ARMED_VARIABLE not in child_environment(role, Memory(), variable, environment)
    armed = child_environment("executor", Memory(), variable, {}, armed=True)
    assert armed[ARMED_VARIABLE] == "1"
    assert ARMED_VARIABLE not in child_environment("detector", Memory(), variable, {}, armed=True)


@pytest.mark.parametrize(
    ("value_ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1_500, "1.5 us"), (2_000_000, "2 ms"), (3 * 10**9, "3 s")],
)
def test_durations_are_short_and_carry_their_unit(value_ns: int, text: str):
    assert format_ns(value_ns) == text


REPORT = {
    "mode": Mode.SIM.value,
    "frames": 1_234,
    "markets": 2,
    "markets_trusted": 1,
    "books_verified": 3,
    "hits": 4,
    "orders_sent": 5,
    "orders_accepted": 5,
    "fills": 6,
    "settled": 6,
    "pnl_micro": -1_500_000,
    "untrusted_by_cause": {"hash": 2},
    "malformed_by_reason": {},
    "stage_latency_ns": {"frame": {"p50": 1_000, "p99": 2_000, "max": 3_000, "count": 7}},
    "processes": {"executor": {"pid": 42, "restarts": 0}},
}


def test_report_for_people_shows_units_causes_and_stages(capsys: pytest.CaptureFixture[str]):
    print_report(REPORT)
    shown = capsys.readouterr().out
    for words in ("mode sim", "1,234", "-1.5", "hash 2", "1 us", "2 us", "pid 42"):
        assert words in shown


def test_progress_is_one_line_with_rates():
    line = progress_line(REPORT, 234, 1.0)
    assert "1000 frames/s" in line
    assert "books 1/2 trusted" in line
    assert "\n" not in line


def test_interrupted_demo_reports_what_it_did_so_far(tmp_path: Path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "overround.cli.main", "demo", "--json", "--seconds", "300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    for line in demo.stderr:  # the first line of progress: it trades
        if "frames/s" in line:
            break
    demo.send_signal(signal.SIGTERM)
    out, err = demo.communicate(timeout=60)
    assert demo.returncode == 0, err
    assert json.loads(out)["frames"] > 0


def test_demo_says_that_the_exchange_ended_before_it_was_ready(tmp_path: Path):
    """Not after a minute, and not as if it had been waited for."""
    with pytest.raises(HostError, match="the exchange ended before it was ready"):
        start_exchange(-1, tmp_path / "absent" / "exchange.jsonl")
