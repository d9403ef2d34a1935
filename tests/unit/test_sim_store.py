"""The exchange's command log: torn, foreign and gapped files, and nothing written twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from overround.errors import ConfigError
from overround.sim.store import Command, Store


def make(path: Path, commands: int = 3) -> bytes:
    store = Store(path, {"seed": 7}, resume=False)
    for number in range(commands):
        assert store.append(100 + number, "cancel", [f"0x{number}"]) == number + 1
    store.close()
    return path.read_bytes()


def test_what_was_written_is_there_and_goes_on_with_the_next_number(tmp_path: Path) -> None:
    make(tmp_path / "store")
    again = Store(tmp_path / "store", {"seed": 8}, resume=True)
    assert again.header["seed"] == 7  # its own, not ours
    assert again.commands[-1] == Command(3, 102, "cancel", ["0x2"])
    assert again.append(200, "expire", []) == 4
    again.close()


def test_any_torn_tail_is_cut_and_only_the_last_line_goes(tmp_path: Path) -> None:
    path = tmp_path / "store"
    whole = make(path)
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        store = Store(path, {}, resume=True)
        assert [command.number for command in store.commands] == [1, 2]
        assert store.append(5, "expire", []) == 3
        store.close()
        assert path.read_bytes()[:last] == whole[:last]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole.replace(b'[2,101,"cancel",["0x1"]]\n', b""),  # a gap
        lambda whole: whole.replace(b'"format":1', b'"format":9'),
        lambda whole: b"{}\n" + whole,
        lambda whole: whole.replace(b'[2,101,"cancel"', b'[2,"cancel"'),
        lambda _: b"no log\n",
        lambda _: b"",
    ],
    ids=["gap", "format", "header", "line", "foreign", "empty"],
)
def test_a_file_that_is_no_whole_log_is_refused(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "store"
    path.write_bytes(spoil(make(path)))
    with pytest.raises(ConfigError):
        Store(path, {}, resume=True)


def test_an_earlier_run_is_never_overwritten(tmp_path: Path) -> None:
    whole = make(tmp_path / "store")
    with pytest.raises(ConfigError, match="earlier run"):
        Store(tmp_path / "store", {}, resume=False)
    assert (tmp_path / "store").read_bytes() == whole
