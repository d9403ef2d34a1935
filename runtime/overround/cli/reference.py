"""Reference pages made from the code itself, so that they cannot drift from it."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from overround.cli.faultpage import faults_page
from overround.cli.ledgerpage import journal_page, ledger_page
from overround.cli.orderpage import orders_page
from overround.cli.planpage import plans_page
from overround.cli.recoverypage import recovery_page
from overround.cli.riskpage import risk_page
from overround.cli.troublepage import troubles_page
from overround.config.schema import Settings
from overround.observe.metrics import STAGES, metrics

_MADE = "Made by `scripts/reference`; do not edit.\n"


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file name."""
    return {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "commands.md": commands_page(),
        "journal.md": journal_page(),
        "ledger.md": ledger_page(),
        "faults.md": faults_page(),
        "venue-errors.md": troubles_page(),
        "risk.md": risk_page(),
        "orders.md": orders_page(),
        "recovery.md": recovery_page(),
        "plans.md": plans_page(),
    }


def settings_page() -> str:
    """Return the page of settings: key, default, range, meaning."""
    lines = [
        "# Settings\n",
        f"Reference. {_MADE}",
        "One TOML file describes an instance; a key that is not listed here is refused.\n",
    ]
    top = {n: f for n, f in Settings.model_fields.items() if not _section(f)}
    lines += ["## Top level\n", *_table(top)]
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None:
            summary = (inspect.getdoc(section) or "").partition("\n")[0]
            lines += [f"\n## [{name}]\n", f"{summary}\n", *_table(section.model_fields)]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Return the page of metrics and latency stages."""
    lines = [
        "# Metrics\n",
        f"Reference. {_MADE}",
        "| id | name | kind | unit | meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {m.id} | `{m.name}` | {m.kind} | {m.unit} | {m.help} |" for m in metrics()]
    lines += ["\n## Latency stages\n", "| id | stage | from where to where |", "|---|---|---|"]
    lines += [
        f"| {stage.value} | `{stage.name.lower()}` | {text} |" for stage, text in STAGES.items()
    ]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return the page of commands: the help each one prints."""
    import typer.testing

    from overround.cli.main import app

    runner = typer.testing.CliRunner(env={"COLUMNS": "90", "NO_COLOR": "1", "TERM": "dumb"})
    lines = ["# Commands\n", f"Reference. {_MADE}"]
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.callback.__name__
        text = runner.invoke(app, [name, "--help"], prog_name="overround").stdout.rstrip()
        lines += [f"## overround {name}\n", f"```\n{text.strip()}\n```\n"]
    return "\n".join(lines)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(fields: dict[str, FieldInfo]) -> list[str]:
    lines = ["| key | default | range | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        meaning = " ".join((field.description or "").split())
        lines.append(f"| `{name}` | `{_default(field.default)}` | {_range(field)} | {meaning} |")
    return lines


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return str(value) if not isinstance(value, str) else f'"{value}"'


def _range(field: FieldInfo) -> str:
    bounds = {}
    for item in field.metadata:
        for bound, sign in (("ge", "≥"), ("le", "≤"), ("pattern", "")):
            if getattr(item, bound, None) is not None:
                bounds[sign] = getattr(item, bound)
    return ", ".join(f"{sign} {value}".strip() for sign, value in bounds.items())
