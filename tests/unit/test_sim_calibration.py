"""The synthetic flow looks like the recordings: a short form of ``scripts/calibration``."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle.calibration_table import ROWS, averaged, outside


@pytest.fixture(scope="module")
def found(untraced: None) -> dict[str, float]:
    return averaged(60, rate=222.0, seeds=[1, 2])


def test_figures_stay_near_the_recorded_ones(found: dict[str, float]) -> None:
    assert outside(found, short=True) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_range_can_be_left(found: dict[str, float], row) -> None:
    if row.short:
        too_much = {**found, row.name: row.high * row.short * 1.01 + 0.001}
        assert any(row.says in text for text in outside(too_much, short=True))


def test_the_page_shows_every_figure_and_none_outside(repository: Path) -> None:
    page = (repository / "docs" / "reference" / "calibration.md").read_text(encoding="utf-8")
    assert not [row.name for row in ROWS if f"| {row.says} | {row.recorded} |" not in page]
    assert "(outside)" not in page
