"""``overround replay``: recorded frames through the real decoder and books."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from overround.cli.output import print_json


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(help="Recordings: a frame a line, envelopes with raw, .zst, or tap .ovt."),
    ],
    meta: Annotated[
        Path | None,
        typer.Option(
            help="JSON: condition id to tick_size, min_order_size, neg_risk, last_trade_price."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.")] = False,
) -> None:
    """Rebuild books from recorded frames and verify them against the venue's hashes.

    The files are one stream, in the order given. Reads only; nothing is sent anywhere.
    """
    from overround.ingress.replay import Replay, load_meta

    run = Replay(load_meta(meta) if meta is not None else None)
    for path in files:
        run.run(path)
    report = run.finish()
    if json:
        print_json(report)
    else:
        _print_table(report)


def _print_table(report: dict[str, Any]) -> None:
    for key, value in report.items():
        if isinstance(value, int):
            print(f"  {key.replace('_', ' '):<20} {value:>16,}")
    print(
        f"  {'token':<20} {'bids':>6} {'asks':>6} {'best':>13} {'frames':>8} "
        f"{'checked':>8} {'failed':>7}  trust"
    )
    for name, token in report["tokens"].items():
        best = "/".join(side[0][0] if side else "-" for side in (token["bids"], token["asks"]))
        trust = "trusted" if token["trusted"] else f"untrusted: {token['untrusted_because']}"
        note = f" ({token['could_not_check']})" if token["could_not_check"] else ""
        print(
            f"  {_short(name):<20} {len(token['bids']):>6} {len(token['asks']):>6} {best:>13} "
            f"{token['frames']:>8,} {token['hash_checked']:>8,} {token['hash_failed']:>7,}  "
            f"{trust}{note}"
        )


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:9]}..{name[-9:]}"
