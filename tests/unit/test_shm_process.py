"""Identity of processes: a pid that was reused, or whose process is a zombie, is not alive."""

from __future__ import annotations

import os
import subprocess
import sys

from overround.shm.process import boot_hash, cpu_usage, is_alive, start_ticks


def test_this_process_is_alive_under_its_own_start_time_only():
    pid = os.getpid()
    started = start_ticks(pid)
    assert started > 0
    assert is_alive(pid, started)
    assert not is_alive(pid, started + 1)  # the pid of one that died, reused by us
    assert not is_alive(pid, 0)
    assert not is_alive(0, started)


def test_zombies_and_the_dead_are_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    started = start_ticks(child.pid)
    assert is_alive(child.pid, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet reaped
    assert start_ticks(child.pid) == started
    assert not is_alive(child.pid, started)
    child.wait()
    child.stdin.close()
    assert start_ticks(child.pid) == 0
    assert not is_alive(child.pid, started)
    assert cpu_usage(child.pid) == (-1, 0.0)


def test_command_with_brackets_does_not_shift_the_fields():
    # The name of a process is the second field of its stat line and may be anything.
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R 1 (b', 0, 0, 0); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert is_alive(child.pid, start_ticks(child.pid))
        cpu, seconds = cpu_usage(child.pid)
        assert cpu in range(os.cpu_count() or 1)
        assert seconds >= 0
        child.kill()


def test_boot_is_the_same_for_all():
    code = "from overround.shm.process import boot_hash; print(boot_hash())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(other.stdout) == boot_hash() > 0
