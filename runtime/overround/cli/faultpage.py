"""The reference page of fault switches and rate limits, made from their tables."""

from __future__ import annotations

from overround.sim.faults import SWITCHES, Switch
from overround.sim.limits import CANCELS_PER_ORDER, RULES, TIERS

__all__ = ["faults_page"]

AREAS = {
    "market": "Market sockets",
    "user": "User sockets",
    "http": "Requests",
    "orders": "Orders, trades and the clock",
}

_INTRO = """\
Reference. Made by `scripts/reference`; do not edit.

Switches make the local exchange (`overround sim`) misbehave in ways in which the venue has been
seen to. All are off unless you turn them:

- at the start: `--fault NAME[=VALUE][/MARKET][@AT][+FOR]`, repeatable. MARKET is a condition id or
  a place in the catalog, AT and FOR are seconds: `--fault answer-slow=500@3+2` makes answers half a
  second late from the third to the fifth second;
- while it runs: `POST /sim/faults` with `{"switch": "answer-slow", "value": 500, "market": "",
  "at_s": 0, "for_s": 2}`; value 0 turns it off, `{"clear": true}` turns everything off. The answer
  (also to an empty object) tells what is on and how often each switch has shown;
- at random: `--chaos SEED` turns the switches of the last column on and off, one about every 0.7 s,
  in a sequence that the seed repeats. `overround demo --chaos SEED` trades against that.

Scheduled and random turns are `"event":"fault"` lines in the exchange's log. A value in "times" is
used up one by one (frames are counted on each socket alike); "on" takes 1 or 0.
"""

_LEFT_OUT = """\
## Not offered

Some reported troubles belong to a client or to the chain and have no switch: amounts and prices
rounded by a client, orders sent as the wrong type, wallets and keys that do not fit, a stream queue
that overflows. Others are how this exchange always behaves: order ids that can be computed before
sending, `success: true` beside an error text in batches, `null` for an order that is done, cancel
answers without sizes, maker fills told inside the taker's trade, one-sided books near the end.
A fill larger than the order is left out because money is conserved to the micro-unit.
"""


def faults_page() -> str:
    """Return the page of every switch by area, and of the rate limits."""
    lines = ["# Faults and rate limits\n", _INTRO]
    for area, title in AREAS.items():
        lines += [f"## {title}\n", "| switch | value | what it does | seen in | chaos |"]
        lines.append("|---|---|---|---|---|")
        lines += [_row(switch) for switch in SWITCHES if switch.area == area]
        lines.append("")
    lines += [_LEFT_OUT, *_limits()]
    return "\n".join(lines) + "\n"


def _row(switch: Switch) -> str:
    chaos = ""
    if switch.chaos is not None:
        most, least_s, most_s = switch.chaos
        size = "" if switch.unit == "on" else f"up to {most:g}, "
        chaos = f"{size}{least_s:g} to {most_s:g} s"
    return f"| `{switch.name}` | {switch.unit} | {switch.text} | {switch.seen} | {chaos} |"


def _limits() -> list[str]:
    lines = [
        "## Rate limits\n",
        "`--limits warn` counts and serves, and marks answers that enforcement would have refused;",
        "`--limits enforce` answers them with 429 `Too Many Requests` and `Retry-After`. Off by",
        'default. `POST /sim/limits` with `{"mode": "enforce", "tier": "gold", "address": "0x1"}`',
        "changes the mode, and the tier of one signer or of all.\n",
        "Each signer has two buckets of tokens: an order costs 1, a cancelled id 1 of the other,",
        "cancel-all and cancel-market-orders 1 and 1 for each open order. The signer is the owner",
        "of the API key named in the request. Answers carry `Poly-RateLimit-Remaining` (tokens",
        "left), `Poly-RateLimit-Tier`, and over the limit `Poly-RateLimit-Reset` (Unix second at",
        "which enough has come back) or `Poly-RateLimit-Warning: true`.\n",
        "| tier | orders a second | burst | cancels a second | burst |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {rate} | {burst} | {rate * CANCELS_PER_ORDER} | {burst * CANCELS_PER_ORDER} |"
        for name, (rate, burst) in TIERS.items()
    ]
    lines += [
        "\nEach address has sliding windows; a request counts in every one it fits.\n",
        "| requests | method | paths (`/` at the end: all below) | most | seconds |",
        "|---|---|---|---|---|",
    ]
    for rule in RULES:
        paths = " ".join(f"`{path}`" for path in rule.paths)
        span_s = rule.window_ns // 10**9
        lines.append(f"| {rule.name} | {rule.method or 'any'} | {paths} | {rule.most} | {span_s} |")
    return lines
