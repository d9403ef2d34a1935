"""The conformance page: a table of client and operation, made from the marked tests."""

from __future__ import annotations

from importlib.metadata import version
from types import ModuleType

from oracle.conformance import Operation

CLIENTS = ("py-clob-client", "py-clob-client-v2", "polymarket-client")

PASSED, FAILED, NONE = "yes", "**no**", "·"

HEAD = """\
# Conformance with the official clients

Made by `scripts/conformance`; do not edit.

The three official clients run unmodified against a real `overround sim` process, and every answer
is checked member by member, name and type. "yes": the tests of that operation passed. "·": the
suite does not try it, nearly always because the client has no such call. `py-clob-client` signs
orders of the first version, so its exchange runs with `--version 1`; of the current version it is
told `order_version_mismatch`, as at the venue.

"""


def operations(module: ModuleType) -> list[tuple[str, tuple[Operation, ...]]]:
    """Return (test name, operations) of a module's marked tests, in its order."""
    return [
        (name, test.operations)
        for name, test in vars(module).items()
        if name.startswith("test_") and hasattr(test, "operations")
    ]


def page(modules: list[ModuleType], failed: set[tuple[str, str]]) -> str:
    """Return the page; ``failed`` has (client, test name) of every test that did not pass."""
    names: dict[str, None] = {}
    cells: dict[tuple[str, str], str] = {}
    for module in modules:
        for name, proven in operations(module):
            for operation in proven:
                names[operation.name] = None
                bad = (module.CLIENT, name) in failed
                cells[operation.name, module.CLIENT] = FAILED if bad else PASSED
    titles = [f"{client} {version(client)}" for client in CLIENTS]
    rows = [["Operation", *titles], ["---"] * (1 + len(CLIENTS))]
    rows += [[name, *(cells.get((name, client), NONE) for client in CLIENTS)] for name in names]
    table = "".join("| " + " | ".join(row) + " |\n" for row in rows)
    proven = sum(value == PASSED for value in cells.values())
    return f"{HEAD}{table}\n{len(names)} operations, {proven} proofs.\n"
