"""The order campaign in its short form, and that it notices whatever breaks its promises.

``scripts/campaign`` is the long form: thousands of orders, PostgreSQL, every seed.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from oracle.audit import audit, exchange_books
from oracle.order_campaign import Campaign
from oracle.order_campaign_faults import AREAS, NOT_AN_ORDERS, ON_PATH, Deck
from oracle.order_campaign_ledger import FILE, LedgerEye
from oracle.order_campaign_report import Plan, Report
from overround.sim.faults import SWITCHES

SHORT_ORDERS = 40
SABOTAGED_ORDERS = 24
DOUBTED_ORDERS = 8
"""Each is in doubt for a second."""
SEED = 20_261
ATTEMPTS = 4


def run(folder: Path, sabotage: str, switch: str, orders: int = SABOTAGED_ORDERS) -> Report:
    plan = Plan(orders, SEED, folder, sabotage, kills=False, switches=(switch,))
    return Campaign(plan).run()


def run_until(folder: Path, sabotage: str, switch: str, met: Callable[[Report], bool]) -> Report:
    """Run until what is sabotaged has happened at all: a seed repeats what is done, not when."""
    for attempt in range(ATTEMPTS):
        place = folder / str(attempt)
        place.mkdir()
        plan = Plan(SABOTAGED_ORDERS, SEED + attempt, place, sabotage, kills=False,
                    switches=(switch,))  # fmt: skip
        report = Campaign(plan).run()
        if met(report):
            return report
    raise AssertionError(f"{ATTEMPTS} campaigns never met it: {report.line()}")


@pytest.fixture(scope="module", name="kept")
def fixture_kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("campaign")
    return folder, Campaign(Plan(SHORT_ORDERS, SEED, folder)).run()


def test_a_short_campaign_is_clean_through_faults_of_many_kinds(
    kept: tuple[Path, Report],
) -> None:
    _, report = kept
    assert report.clean, report.line()
    assert report.orders >= SHORT_ORDERS
    assert len(report.faults) >= 5, report.faults
    assert report.accepted
    assert report.fills
    wanted = {"orders", "faults", "kills", "sent_twice", "unaccounted", "sent_without_journal"}
    assert wanted | {"ledger_difference_micro"} <= json.loads(report.line()).keys()


def test_what_is_kept_is_enough_to_find_the_figures_again(kept: tuple[Path, Report]) -> None:
    folder, report = kept
    log = [json.loads(line) for line in (folder / "exchange.jsonl").read_text().splitlines()]
    found = audit(folder / "journal", log, report.address)
    assert found.clean
    assert (found.sent, found.fills) == (report.orders, report.fills)
    eye = LedgerEye("", folder)
    assert eye.books().difference_micro(exchange_books(log, report.address)) == 0
    eye.close()


@contextmanager
def change_of(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / FILE)) as link, link:
        yield link


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fills SET cash_micro = cash_micro + 1 WHERE rowid = 1",
        "UPDATE fills SET fee_micro = fee_micro + 1 WHERE rowid = 1",
        "UPDATE fills SET side = 1 - side WHERE rowid = 1",
        "DELETE FROM fills WHERE rowid = 1",
    ],
)
def test_a_database_that_is_off_by_one_is_noticed(
    kept: tuple[Path, Report], tmp_path: Path, change: str
) -> None:
    with closing(sqlite3.connect(kept[0] / FILE)) as before, change_of(tmp_path) as after:
        before.backup(after)
        after.execute("UPDATE fills SET state = 'CONFIRMED'")
    old, new = LedgerEye("", tmp_path), LedgerEye("", tmp_path)
    wanted = old.books()
    with change_of(tmp_path) as link:
        link.execute(change)
    assert new.books().difference_micro(wanted) > 0
    old.close()
    new.close()


def test_an_order_signed_twice_is_noticed(tmp_path: Path) -> None:
    report = run(tmp_path, "new-salt", "order-timeout", DOUBTED_ORDERS)
    assert report.sent_twice, report.line()
    assert not report.clean


def test_bytes_that_left_before_their_record_are_noticed(tmp_path: Path) -> None:
    report = run(tmp_path, "skip-journal", "events-late")
    assert report.sent_without_journal, report.line()
    assert not report.clean


def test_a_failed_trade_that_was_booked_is_noticed(tmp_path: Path) -> None:
    report = run_until(tmp_path, "ignore-failed", "trade-failed", lambda one: one.failed > 0)
    assert report.ledger_difference_micro, report.line()
    assert not report.clean


def test_a_fill_booked_with_the_takers_side_is_noticed(tmp_path: Path) -> None:
    report = run_until(
        tmp_path, "taker-side", "events-late",
        lambda one: any(form.startswith("maker") for form in one.forms),
    )  # fmt: skip
    assert report.ledger_difference_micro, report.line()
    assert not report.clean


def test_the_deck_deals_every_switch_of_an_orders_path_before_any_twice() -> None:
    deck = Deck(Random(1))
    dealt = Counter(deck.deal()["switch"] for _ in range(2 * len(ON_PATH)))
    assert set(dealt.values()) == {2}
    wanted = {one.name for one in SWITCHES if one.area in AREAS} - NOT_AN_ORDERS
    assert dealt.keys() == wanted
