"""The command ``overround``: verbs, and what an error looks like.

Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused by a safety rule.
"""

from __future__ import annotations

import sys

import typer

from overround.cli.audit import audit
from overround.cli.demo import demo
from overround.cli.doctor import doctor
from overround.cli.kill import kill, resume
from overround.cli.reconcile import reconcile
from overround.cli.replay import replay
from overround.cli.run import run
from overround.cli.sim import sim
from overround.cli.stat import stat
from overround.cli.tune import tune
from overround.errors import OverroundError

INTERRUPTED = 130

app = typer.Typer(
    name="overround",
    help="A trading runtime for prediction markets: verified books, honest fills, settled P&L.",
    epilog="Start with: overround demo   (embedded exchange, no account, no network)",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (demo, sim, run, replay, stat, doctor, kill, resume, audit, reconcile, tune):
    app.command()(_command)


def main() -> None:
    """Run the command line and exit; an expected error is one line on standard error."""
    try:
        app()
    except OverroundError as error:
        print(f"overround: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output left
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
