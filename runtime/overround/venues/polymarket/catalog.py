"""Discovery: what the venue lists, as ``MarketSpec``, from the bytes of its answers.

Two sources say the same of a market: discovery (Gamma) pages of events, and the compact market
parameters of the exchange, which are authoritative for tick, minimum and fee. What cannot be
read of one market is told in ``problems`` and the others are kept; a page that is no page
raises VenueError.

A set is complete when exactly one of its members must pay: a neg-risk event that can gain no
further outcome, of which every question is listed and either trades or is finally resolved
against. Members already resolved against pay nothing and leave the set. Anything doubtful makes
the set incomplete, which only costs an opportunity.
"""

from __future__ import annotations

import msgspec

from overround.errors import VenueError
from overround.venues.contract import SET_NONE, MarketSpec
from overround.venues.polymarket.amounts import TICKS_VALID
from overround.venues.polymarket.answers import CURSOR_END
from overround.venues.polymarket.fees import FEE_EXPONENT_MAX, FEE_RATE_PPM_MAX
from overround.venues.polymarket.fields import Fields, load_json, scaled

VENUE = "polymarket"
SHORT_HOLD_MS = 150
"""Hold on takers of markets flagged ``itode`` where the caller knows no better value."""

CONDITION_CHARS = 66
TOKEN_CHARS_MAX = 78  # 2**256 in decimal
SLUG_CHARS_MAX = 256
QUESTION_CHARS_MAX = 512
SET_MEMBERS_MAX = 256


class CatalogPage(msgspec.Struct, frozen=True):
    """Markets of one discovery page; ``next_cursor`` is None on the last one."""

    markets: list[MarketSpec]
    next_cursor: str | None
    problems: list[str]


def parse_events_page(body: bytes) -> CatalogPage:
    """Return the markets of a page of events (keyset form, or a bare array of events)."""
    value = load_json(body, "events page")
    cursor: str | None = None
    if isinstance(value, list):
        events: list[object] = value
    else:
        page = Fields(value, "events page")
        key = "events" if page.raw("events") is not None else "data"
        if page.raw(key) is None:
            raise page.bad("events", "missing")
        events = page.list(key)
        cursor = page.text("next_cursor", "") or None
    markets: list[MarketSpec] = []
    problems: list[str] = []
    for event in events:
        try:
            markets.extend(_parse_event(event, problems))
        except VenueError as error:
            problems.append(str(error))
    return CatalogPage(markets, None if cursor == CURSOR_END else cursor, problems)


def parse_event(body: bytes) -> CatalogPage:
    """Return the markets of one event object; VenueError if it is none."""
    problems: list[str] = []
    return CatalogPage(_parse_event(load_json(body, "event"), problems), None, problems)


def _parse_event(value: object, problems: list[str]) -> list[MarketSpec]:
    event = Fields(value, "event")
    listed: list[tuple[MarketSpec, Fields]] = []
    entries = event.list("markets")
    neg_risk = event.flag("negRisk") or event.flag("enableNegRisk")
    for entry in entries:
        try:
            fields = Fields(entry, "market")
            listed.append((_parse_market(fields, neg_risk), fields))
        except VenueError as error:
            problems.append(str(error))
    set_id = event.text("negRiskMarketID", "")
    if not neg_risk or not set_id or len(listed) > SET_MEMBERS_MAX:
        return [spec for spec, _ in listed]
    return _join_set(event, set_id, listed, complete=len(listed) == len(entries))


def _join_set(
    event: Fields, set_id: str, listed: list[tuple[MarketSpec, Fields]], *, complete: bool
) -> list[MarketSpec]:
    """Return the event's markets with their places in its set, in the order of the questions."""
    listed = sorted(listed, key=lambda pair: _question_index(pair[1], set_id))
    indices = [_question_index(fields, set_id) for _, fields in listed]
    numbered = any(index < SET_MEMBERS_MAX for index in indices)
    if numbered and indices != list(range(len(indices))):
        complete = False  # a question of the set is not listed
    complete = complete and not event.flag("negRiskAugmented") and len(listed) > 1
    living: list[MarketSpec] = []
    dead: list[MarketSpec] = []
    for spec, fields in listed:
        other = fields.flag("negRiskOther") or fields.text("negRiskMarketID", set_id) != set_id
        yes_first = _encoded_list(fields, "outcomes")[0].lower() == "yes"
        lost = spec.resolved and spec.winner == 1
        if other or not yes_first or not spec.neg_risk or (not spec.accepting_orders and not lost):
            complete = False
        (dead if lost else living).append(spec)
    joined = [
        msgspec.structs.replace(
            spec,
            set_id=set_id,
            set_position=position,
            set_size=len(living),
            set_complete=complete and len(living) > 1,
        )
        for position, spec in enumerate(living)
    ]
    return joined + dead


def _question_index(fields: Fields, set_id: str) -> int:
    """Return the question's number within its set: the last byte of its id, else 256."""
    question = fields.text("questionID", "").lower()
    if len(question) != CONDITION_CHARS or question[:-2] != set_id.lower()[:-2]:
        return SET_MEMBERS_MAX
    try:
        return int(question[-2:], 16)
    except ValueError:
        return SET_MEMBERS_MAX


def _parse_market(fields: Fields, event_neg_risk: bool) -> MarketSpec:
    condition_id = _condition(fields, "conditionId")
    protocol = 3 if fields.text("version", "v1").lower() == "v2" else 2
    tokens = _encoded_list(fields, "positionIds" if protocol == 3 else "clobTokenIds")
    outcomes = _encoded_list(fields, "outcomes")
    if len(tokens) != 2 or len(outcomes) != 2:
        raise fields.bad("clobTokenIds", f"expected two tokens and outcomes of {condition_id}")
    closed = fields.flag("closed")
    rate_ppm, exponent = _gamma_fee(fields)
    resolved = closed and fields.text("umaResolutionStatus", "").lower() == "resolved"
    return MarketSpec(
        venue=VENUE,
        condition_id=condition_id,
        token_yes=_token(fields, tokens[0]),
        token_no=_token(fields, tokens[1]),
        tick_ticks=_tick(fields, "orderPriceMinTickSize"),
        min_size_lots=_min_size(fields, "orderMinSize"),
        neg_risk=fields.flag("negRisk", default=event_neg_risk),
        set_id=SET_NONE,
        fee_rate_ppm=rate_ppm,
        fee_exponent=exponent,
        taker_delay_ms=fields.count("secondsDelay", maximum=3600) * 1000,
        slug=fields.text("slug", "")[:SLUG_CHARS_MAX],
        question=fields.text("question", "")[:QUESTION_CHARS_MAX],
        outcome_label=(fields.text("groupItemTitle", "") or outcomes[0])[:SLUG_CHARS_MAX],
        accepting_orders=_accepting(fields, closed),
        protocol=protocol,
        closed=closed,
        resolved=resolved,
        winner=_winner(fields) if resolved else None,
    )


def _accepting(fields: Fields, closed: bool) -> bool:
    return (
        fields.flag("acceptingOrders")
        and fields.flag("enableOrderBook")
        and fields.flag("active", default=True)
        and not fields.flag("archived")
        and not closed
    )


def _winner(fields: Fields) -> int | None:
    prices = _encoded_list(fields, "outcomePrices")
    return {("1", "0"): 0, ("0", "1"): 1}.get((prices[0], prices[1])) if len(prices) == 2 else None


def _condition(fields: Fields, key: str) -> str:
    condition_id = fields.identity(key)
    if len(condition_id) != CONDITION_CHARS or not condition_id.startswith("0x"):
        raise fields.bad(key, f"expected 0x and 64 hex digits, saw {condition_id[:80]!r}")
    try:
        bytes.fromhex(condition_id[2:])
    except ValueError:
        raise fields.bad(key, f"no hex: {condition_id!r}") from None
    return condition_id


def _token(fields: Fields, token: str) -> str:
    if not (token.isascii() and token.isdigit() and len(token) <= TOKEN_CHARS_MAX):
        raise fields.bad("token", f"expected a decimal id, saw {token[:100]!r}")
    if int(token) >= 1 << 256 or token != str(int(token)):
        raise fields.bad("token", f"no 256-bit number in plain form: {token!r}")
    return token


def _encoded_list(fields: Fields, key: str) -> list[str]:
    """Return a list of texts that may itself be JSON inside a text."""
    value = fields.raw(key)
    if isinstance(value, str):
        value = load_json(value, f"{fields.what}: {key}") if value else []
    if not isinstance(value, list):
        raise fields.bad(key, "expected a list of texts")
    texts = [one for one in value if isinstance(one, str)]
    if len(texts) != len(value):
        raise fields.bad(key, "expected a list of texts")
    return texts


def _tick(fields: Fields, key: str) -> int:
    try:
        tick_ticks, exact = scaled(fields.text(key), 4)
    except ValueError as error:
        raise fields.bad(key, error) from None
    if not exact or tick_ticks not in TICKS_VALID:
        raise fields.bad(key, f"{fields.text(key)[:40]} is no tick size of this venue")
    return tick_ticks


def _min_size(fields: Fields, key: str) -> int:
    lots = fields.lots(key)
    if lots <= 0:
        raise fields.bad(key, "expected a size above 0")
    return lots


def _fee(rate_text: str, exponent_text: str) -> tuple[int | None, int]:
    """Return rate in ppm and exponent; rate None for a formula we do not know."""
    try:
        rate_ppm, rate_exact = scaled(rate_text, 6)
        exponent, exponent_exact = scaled(exponent_text, 0)
    except ValueError:
        return None, 1
    known = rate_exact and exponent_exact
    if not known or rate_ppm > FEE_RATE_PPM_MAX or not 1 <= exponent <= FEE_EXPONENT_MAX:
        return None, 1
    return rate_ppm, exponent


def _gamma_fee(fields: Fields) -> tuple[int | None, int]:
    """Return the fee discovery states: None where fees are on but not said, 0 where off."""
    raw = fields.raw("feeSchedule")
    if raw is None:
        free = fields.raw("feesEnabled") is False
        return (0 if free else None), 1
    schedule = Fields(raw, "fee schedule")
    if fields.raw("feesEnabled") is False:
        return 0, 1
    return _fee(schedule.text("rate", ""), schedule.text("exponent", "1"))


def parse_clob_market(
    body: bytes, base: MarketSpec | None = None, *, short_hold_ms: int = SHORT_HOLD_MS
) -> MarketSpec:
    """Return a market from the exchange's own parameters; VenueError if they are not usable.

    With ``base`` (from discovery) its names and set are kept, tick, minimum, fee and hold are
    replaced, and an answer about other tokens is refused.
    """
    return read_clob_market(load_json(body, "clob market"), base, short_hold_ms=short_hold_ms)


def read_clob_market(
    value: object, base: MarketSpec | None = None, *, short_hold_ms: int = SHORT_HOLD_MS
) -> MarketSpec:
    """Return what ``parse_clob_market`` does, from the decoded object."""
    fields = Fields(value, "clob market")
    tokens = [Fields(entry, "clob market token") for entry in fields.list("t")]
    if len(tokens) != 2:
        raise fields.bad("t", f"expected two tokens, saw {len(tokens)}")
    token_yes, token_no = (_token(entry, entry.identity("t")) for entry in tokens)
    if base is not None and (token_yes, token_no) != (base.token_yes, base.token_no):
        raise fields.bad("t", f"tokens of another market than {base.condition_id}")
    condition_id = _condition(fields, "c") if fields.raw("c") is not None else ""
    if base is None and not condition_id:
        raise fields.bad("c", "missing")
    if base is not None and condition_id not in ("", base.condition_id):
        raise fields.bad("c", f"another market than {base.condition_id}")
    fee = fields.raw("fd")
    rate_ppm: int | None = 0
    exponent = 1
    if fee is not None:
        fee_fields = Fields(fee, "clob market fee")
        rate_ppm, exponent = _fee(fee_fields.text("r", ""), fee_fields.text("e", "1"))
    hold_ms = fields.count("sd", maximum=3600) * 1000
    if fields.flag("itode"):
        hold_ms = max(hold_ms, short_hold_ms)
    if base is None:
        base = MarketSpec(
            venue=VENUE,
            condition_id=condition_id,
            token_yes=token_yes,
            token_no=token_no,
            tick_ticks=1,
            min_size_lots=1,
            neg_risk=False,
            outcome_label=tokens[0].text("o", "")[:SLUG_CHARS_MAX],
        )
    return msgspec.structs.replace(
        base,
        tick_ticks=_tick(fields, "mts"),
        min_size_lots=_min_size(fields, "mos"),
        neg_risk=fields.flag("nr"),
        fee_rate_ppm=rate_ppm,
        fee_exponent=exponent,
        taker_delay_ms=hold_ms,
        accepting_orders=base.accepting_orders and fields.flag("ao", default=True),
    )
