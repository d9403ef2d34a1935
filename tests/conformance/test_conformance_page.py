"""The conformance page lists exactly the operations that the suite proves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from oracle.conformance_page import CLIENTS, operations, page

NAMES = ("v2", "unified", "v1", "streams")


def load(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"test_conformance_{name}.py")
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_suite(repository: Path) -> None:
    modules = [load(name) for name in NAMES]
    assert {module.CLIENT for module in modules} == set(CLIENTS)
    written = (repository / "docs" / "reference" / "conformance.md").read_text("utf-8")
    assert written == page(modules, set()), "run scripts/conformance"


def test_every_test_of_a_client_is_marked_and_a_failure_shows() -> None:
    module = load("v2")
    tests = {name for name in vars(module) if name.startswith("test_")}
    assert {name for name, _ in operations(module)} == tests
    assert "**no**" in page([module], {(module.CLIENT, "test_gtc")})
