"""Reference pages equal the code; every setting and metric says what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from overround.cli.reference import pages
from overround.config.schema import Settings
from overround.observe.metrics import STAGES, Histogram, Value, metrics

SECTIONS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_what_the_code_says(repository: Path, name: str):
    written = (repository / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run scripts/reference"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_says_what_it_means(section: str):
    fields = SECTIONS[section].model_fields
    assert not [name for name, field in fields.items() if not field.description]


def test_every_metric_and_stage_has_a_row():
    rows = metrics()
    assert len({row.name for row in rows}) == len(Value)
    assert all(row.help for row in rows)
    assert set(STAGES) == set(Histogram)
