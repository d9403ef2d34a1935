"""From the venue's market lists to the catalog region: what can be traded, and how.

The catalog only grows. A market keeps its index for the life of the run; a change of tick,
fee or status rewrites its row in place, so whoever holds the index sees it.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
import numpy as np
import structlog

from overround.config.schema import Settings
from overround.errors import VenueError
from overround.layout.catalog import CATALOG, SET_NONE, MarketStatus
from overround.shm.slots import Slots
from overround.venues.contract import MarketSpec
from overround.venues.polymarket import rest
from overround.venues.polymarket.catalog import parse_clob_market, parse_events_page
from overround.venues.registry import venue_number

PAGES_MAX = 200
"""Upper bound of pages in one discovery round: 20,000 events."""

FEE_REQUESTS_MAX = 200
"""Markets asked for their own parameters in one round; the rest wait for the next."""

FIRST_ATTEMPTS = 20
FIRST_DELAY_S = 0.25


class CatalogWriter:
    """Keeps the catalog region equal to the last discovery; the supervisor's alone."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._index_of: dict[str, int] = {}
        self._set_of: dict[str, int] = {}
        self._log = structlog.get_logger()
        self.left_out = 0
        """Open markets of the latest round that the full catalog has no row for."""

    @property
    def markets(self) -> int:
        """Markets in the catalog."""
        return len(self._index_of)

    def update(self, specs: list[MarketSpec]) -> int:
        """Apply one discovery round; returns how many markets are new."""
        added = 0
        left_out = 0
        for spec in specs:
            index = self._index_of.get(spec.condition_id)
            if index is not None:
                record = self._record(spec, index)
                before = self._slots.load(index)
                if before is None or _differs(before, record):
                    self._slots.store(index, record)
            elif not spec.accepting_orders:
                continue
            elif self.markets >= self._slots.segment.capacity:
                left_out += 1
            else:
                index = self.markets
                self._slots.append(self._record(spec, index))
                self._index_of[spec.condition_id] = index
                added += 1
        if left_out != self.left_out:
            self._log.warning(
                "catalog is full: raise capacity.markets, or name fewer venue.event_slugs",
                left_out=left_out,
                capacity=self._slots.segment.capacity,
            )
        self.left_out = left_out
        return added

    def _record(self, spec: MarketSpec, index: int) -> np.void:
        record: np.void = np.zeros(1, CATALOG)[0]
        record["market"] = index
        record["venue"] = venue_number(spec.venue)
        record["status"] = _status(spec)
        record["tick_ticks"] = spec.tick_ticks
        record["neg_risk"] = spec.neg_risk
        record["fee_known"] = spec.fee_rate_ppm is not None
        record["fee_rate_ppm"] = spec.fee_rate_ppm or 0
        record["fee_exponent"] = spec.fee_exponent
        record["taker_delay_ms"] = spec.taker_delay_ms
        record["min_size_lots"] = spec.min_size_lots
        record["set_index"] = self._set_index(spec.set_id)
        record["set_size"] = spec.set_size
        record["set_position"] = spec.set_position
        record["set_complete"] = spec.set_complete
        record["condition_id"] = spec.condition_id.encode("ascii")
        record["token_yes"] = spec.token_yes.encode("ascii")
        record["token_no"] = spec.token_no.encode("ascii")
        record["slug"] = spec.slug.encode("ascii", "replace")[:96]
        return record

    def _set_index(self, set_id: str) -> int:
        if not set_id:
            return SET_NONE
        return self._set_of.setdefault(set_id, len(self._set_of))


def _status(spec: MarketSpec) -> MarketStatus:
    if spec.resolved:
        return MarketStatus.RESOLVED
    return MarketStatus.ACTIVE if spec.accepting_orders else MarketStatus.CLOSED


def _differs(before: np.void, after: np.void) -> bool:
    names = [name for name in (CATALOG.names or ()) if name != "sequence"]
    return any(before[name] != after[name] for name in names)


class Discovery:
    """Asks the venue which markets exist; one round at a time."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._venue = settings.venue
        self._session = session
        self._log = structlog.get_logger()
        self._fees: dict[str, tuple[int | None, int]] = {}
        self._timeout = aiohttp.ClientTimeout(total=self._venue.request_timeout_ms / 1000)

    async def fetch(self) -> list[MarketSpec]:
        """Return every market of the wanted events. Raises VenueError (retryable)."""
        specs: list[MarketSpec] = []
        for slug in self._venue.event_slugs or ("",):
            specs.extend(await self._fetch_pages(slug))
        await self._ask_for_fees(specs)
        return specs

    async def _ask_for_fees(self, specs: list[MarketSpec]) -> None:
        """Complete, in place, open markets whose fee the list does not say.

        A market whose answer cannot be read keeps its fee unknown: it is watched, not traded.
        """
        asked = 0
        for index, spec in enumerate(specs):
            if spec.fee_rate_ppm is not None or not spec.accepting_orders:
                continue
            if spec.condition_id not in self._fees and asked < FEE_REQUESTS_MAX:
                asked += 1
                try:
                    answer = parse_clob_market(
                        await self._get(rest.clob_market(spec.condition_id)), spec
                    )
                except VenueError as error:
                    self._log.warning("fee unknown", market=spec.slug, problem=str(error))
                    continue
                self._fees[spec.condition_id] = (answer.fee_rate_ppm, answer.fee_exponent)
            rate_ppm, exponent = self._fees.get(spec.condition_id, (None, 1))
            specs[index] = msgspec.structs.replace(
                spec, fee_rate_ppm=rate_ppm, fee_exponent=exponent
            )

    async def _fetch_pages(self, slug: str) -> list[MarketSpec]:
        specs: list[MarketSpec] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = parse_events_page(await self._get(rest.events_page(cursor, slug=slug)))
            specs.extend(page.markets)
            for problem in page.problems:
                self._log.warning("market skipped", problem=problem)
            cursor = page.next_cursor
            if cursor is None:
                return specs
        raise VenueError(f"discovery did not end after {PAGES_MAX} pages", retryable=True)

    async def fetch_first(self) -> list[MarketSpec]:
        """Like ``fetch``, but patient: at a start the venue may be a second late.

        Raises VenueError if the venue does not answer or lists nothing to trade.
        """
        for attempt in range(FIRST_ATTEMPTS):
            try:
                specs = await self.fetch()
            except VenueError as error:
                if attempt + 1 == FIRST_ATTEMPTS or not error.retryable:
                    raise
                await asyncio.sleep(FIRST_DELAY_S)
            else:
                if specs:
                    return specs
                raise VenueError(
                    f"{self._venue.gamma_url} lists no market for event_slugs = "
                    f"{list(self._venue.event_slugs)}; mend venue.event_slugs"
                )
        raise AssertionError

    async def _get(self, request: rest.Request) -> bytes:
        host = self._venue.gamma_url if request.gamma else self._venue.rest_url
        url = f"{host}{request.target}"
        try:
            async with self._session.get(url, timeout=self._timeout) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise VenueError(
                f"GET {url}: {reason}; check [venue] in the configuration", retryable=True
            ) from None
        if response.status != 200:
            raise VenueError(
                f"GET {url}: status {response.status}", retryable=response.status >= 429
            )
        return body


async def keep_discovering(discovery: Discovery, writer: CatalogWriter, interval_s: float) -> None:
    """Look for new markets for ever; a failed round is logged and tried again next time."""
    log = structlog.get_logger()
    while True:
        await asyncio.sleep(interval_s)
        try:
            added = writer.update(await discovery.fetch())
        except VenueError as error:
            log.warning("discovery failed", error=str(error))
            continue
        if added:
            log.info("new markets", added=added, markets=writer.markets)
