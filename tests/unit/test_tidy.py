"""The house rules that a test can keep, so that review need not.

Each rule is also shown to fail on a planted offence: a rule that cannot fail is no rule.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500

CLOCK_CALLS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
SYNC = re.compile(r"SYNC\((\w+)\)")
MONEY_PATH = ("book", "match", "detect", "decide", "execute", "ledger")
SCRIPTS = ("scripts/", ".ci/")

# Nothing here runs a line of the runtime.
pytestmark = pytest.mark.usefixtures("untraced")


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Every node of a tree: walked once for all rules."""
    return tuple(ast.walk(tree))


@functools.cache
def tracked(repository: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=True
    ).stdout.decode()
    return [repository / name for name in listed.split("\0") if name]


def is_source(path: Path) -> bool:
    return path.suffix in {".py", ".pyi", ".c", ".h", ".inc"}


def python_trees(repository: Path, *roots: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in tracked(repository):
        name = path.relative_to(repository).as_posix()
        if path.suffix == ".py" and name.startswith(roots) and path.exists():
            yield path, parsed(path)


def long_lines(text: str) -> list[int]:
    return [n for n, line in enumerate(text.splitlines(), 1) if len(line) > LINE_COLUMNS_MAX]


def long_functions(tree: ast.Module) -> list[str]:
    return [
        node.name
        for node in nodes(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]


def clock_reads(tree: ast.Module) -> list[int]:
    return [
        node.lineno
        for node in nodes(tree)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in CLOCK_CALLS
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
        )
        or (isinstance(node, ast.ImportFrom) and node.module == "time")
    ]


def prints(tree: ast.Module) -> list[int]:
    return [
        node.lineno
        for node in nodes(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def float_money(tree: ast.Module) -> list[int]:
    """Float literals and float() calls that touch a name carrying a money unit."""
    money = re.compile(r"_(ticks|lots|micro)$")
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            annotation = ast.unparse(node.annotation)
            if money.search(node.target.id) and "float" in annotation:
                found.append(node.lineno)
        if isinstance(node, ast.arg) and node.annotation is not None and money.search(node.arg):
            found += [node.lineno] * ("float" in ast.unparse(node.annotation))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            floats = any(
                isinstance(n, ast.Constant) and isinstance(n.value, float) for n in ast.walk(node)
            )
            if any(money.search(name) for name in names) and (
                floats or isinstance(node.op, ast.Div)
            ):
                found.append(node.lineno)
    return found


def swallowed(tree: ast.Module) -> list[int]:
    return [
        node.lineno
        for node in nodes(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and all(isinstance(line, ast.Pass) for line in node.body)
    ]


def test_lines_and_files_stay_short(repository: Path):
    offences = []
    for path in filter(is_source, tracked(repository)):
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(repository)
        offences += [f"{name}:{number} is too wide" for number in long_lines(text)]
        if text.count("\n") > FILE_LINES_MAX:
            offences.append(f"{name} has {text.count(chr(10))} lines")
    assert not offences


def test_functions_stay_short(repository: Path):
    roots = ("runtime/", "strategies/", "tests/", "bench/")
    assert not [
        f"{path.name}:{name}"
        for path, tree in python_trees(repository, *roots)
        for name in long_functions(tree)
    ]


def test_only_the_clock_reads_time(repository: Path):
    assert not [
        f"{path}:{line}"
        for path, tree in python_trees(repository, "runtime/", "strategies/")
        if path.name != "clock.py"
        for line in clock_reads(tree)
    ]


def test_only_the_command_line_prints(repository: Path):
    assert not [
        f"{path}:{line}"
        for path, tree in python_trees(repository, "runtime/", "strategies/")
        if "cli" not in path.parts
        for line in prints(tree)
    ]


def test_money_is_never_a_float(repository: Path):
    roots = (*(f"runtime/overround/{part}/" for part in MONEY_PATH), "strategies/")
    assert not [
        f"{path}:{line}"
        for path, tree in python_trees(repository, *roots)
        for line in float_money(tree)
    ]


def test_no_error_is_swallowed(repository: Path):
    assert not [
        f"{path}:{line}"
        for path, tree in python_trees(repository, "runtime/", "strategies/", "tests/")
        for line in swallowed(tree)
    ]


def test_nothing_is_left_unfinished_and_no_path_of_one_machine(repository: Path):
    home = re.compile(r"(/home/\w+|/root/)")
    offences = []
    for path in tracked(repository):
        name = path.relative_to(repository).as_posix()
        if not (is_source(path) or name.startswith(SCRIPTS)) or not path.exists():
            continue
        if name == "tests/unit/test_tidy.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if UNFINISHED.search(line) or home.search(line):
                offences.append(f"{name}:{number}")
    assert not offences


def sync_widows(texts: Iterator[str]) -> set[str]:
    seen: dict[str, int] = {}
    for text in texts:
        for name in SYNC.findall(text):
            seen[name] = seen.get(name, 0) + 1
    return {name for name, count in seen.items() if count < 2}


def test_every_sync_name_has_its_other_end(repository: Path):
    texts = (
        path.read_text(encoding="utf-8")
        for path in tracked(repository)
        if path.suffix in {".c", ".h"} and path.exists() and "tests" not in path.parts
    )
    assert not sync_widows(texts)


def test_every_package_says_what_it_is(repository: Path):
    assert not [
        path.as_posix()
        for path, tree in python_trees(repository, "runtime/", "strategies/")
        if not ast.get_docstring(tree)
    ]


def test_version_and_change_log_agree(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    change_log = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", change_log, re.MULTILINE)
    assert newest
    assert newest.group(1) == project["project"]["version"]


def test_locked_versions_name_no_host(repository: Path):
    lock = (repository / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://| @ |^/", lock, re.MULTILINE)


@pytest.mark.parametrize(
    ("rule", "offence"),
    [
        (long_functions, "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
        (clock_reads, "import time\nnow = time.monotonic_ns()"),
        (clock_reads, "from time import monotonic"),
        (prints, "print('x')"),
        (float_money, "price_ticks: float = 0"),
        (float_money, "def f(size_lots: float): ..."),
        (float_money, "cost = size_lots * 0.5"),
        (float_money, "price = price_ticks / 10"),
        (swallowed, "try:\n    f()\nexcept Exception:\n    pass"),
    ],
)
def test_each_rule_catches_its_offence(rule, offence: str):
    assert rule(ast.parse(offence))


def test_line_and_sync_rules_catch_their_offence():
    assert long_lines("x" * (LINE_COLUMNS_MAX + 1)) == [1]
    assert sync_widows(iter(["/* SYNC(ring) */"])) == {"ring"}
