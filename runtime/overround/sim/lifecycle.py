"""What happens to markets and money outside trading, and its control endpoints.

Splits, merges, redemptions and conversions are done on the chain at the venue; here they are
commands under ``/sim/``, as are resolutions, changes of fees and allowances, and the daily
payment of maker rebates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from overround.match.rebates import MS_PER_DAY
from overround.match.types import RebatePaid
from overround.sim.answers import error, json_response
from overround.sim.catalog import SimMarket
from overround.sim.channel import Later
from overround.sim.exchange import Exchange
from overround.sim.payload import read_json
from overround.sim.wallets import UNLIMITED, Wallet
from overround.units import PRICE_TICKS_MAX, parse_cash, parse_size

__all__ = ["LifeCycle", "market_resolved"]

SHORT = "not enough balance: reserved and unsettled amounts do not count"


def market_resolved(market: SimMarket, winner: int | None, epoch_ms: int) -> dict[str, Any]:
    """Return the market channel's event; ``winner`` is an outcome, None if both get a half."""
    return {
        "event_type": "market_resolved",
        "id": str(500_000 + market.index),
        "market": market.condition_id,
        "assets_ids": [market.token_yes, market.token_no],
        "winning_asset_id": "" if winner is None else market.token(winner),
        "winning_outcome": "" if winner is None else market.outcomes[winner],
        "timestamp": str(epoch_ms),
        "tags": [],
    }


class LifeCycle:
    """Commands on an exchange; every one is written to its log."""

    def __init__(self, exchange: Exchange, later: Later) -> None:
        self._exchange = exchange
        self._later = later
        self._day = exchange.now_ms // MS_PER_DAY
        self.rebates_paid: list[RebatePaid] = []
        self._do: dict[str, Callable[[dict[str, Any]], Any]] = {
            "split": self._split,
            "merge": self._merge,
            "redeem": self._redeem,
            "convert": self._convert,
            "resolve": self._resolve,
            "fee": self._fee,
            "delay": self._delay,
            "rebates": self._rebates,
            "allowance": self._allowance,
            "withdraw": self._withdraw,
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the control endpoints; every POST takes a JSON object and answers with one."""
        return [
            web.post(f"/sim/{name}", _command(partial(self.command, name))) for name in self._do
        ]

    def command(self, name: str, body: dict[str, Any]) -> Any:
        """Carry out one of the commands; KeyError, TypeError or ValueError if it cannot be."""
        return self._do[name](body)

    def keep_house(self) -> None:
        """Pay yesterday's rebates once a new day has begun; call about once a second."""
        today = self._exchange.now_ms // MS_PER_DAY
        while self._day < today:
            self.pay_rebates(self._day)
            self._day += 1

    def resolve(self, market: SimMarket, yes_ticks: int) -> None:
        """Close a market, fix its tokens' worth and tell everyone. ValueError if it cannot be."""
        events = self._exchange.engine.resolve(market.index, yes_ticks)
        market.accepting = False
        market.yes_worth_ticks = yes_ticks
        self._exchange.carry_out(events)
        winner = {0: 1, PRICE_TICKS_MAX: 0}.get(yes_ticks)
        event = market_resolved(market, winner, self._exchange.now_ms)
        self._exchange.channel.announce(event)
        self._log("resolved", market=market.condition_id, yes_worth_ticks=yes_ticks)

    def pay_rebates(self, day: int) -> list[RebatePaid]:
        """Pay the makers of a day (since the epoch) and return what was paid."""
        engine, markets = self._exchange.engine, self._exchange.catalog.markets
        for index, pool_micro, equivalents in engine.rebates.totals(day):
            # Trades among the house's own accounts have no line: their part is in these sums.
            self._log(
                "rebate_pool",
                market=markets[index].condition_id,
                day=day,
                pool_micro=pool_micro,
                equivalents_micro=equivalents,
            )
        paid = [event for event in engine.pay_rebates(day) if isinstance(event, RebatePaid)]
        for event in paid:
            self._log(
                "rebate",
                market=markets[event.market].condition_id,
                number=event.account,
                day=day,
                cash_micro=event.cash_micro,
            )
        self.rebates_paid += paid
        return paid

    def _log(self, event: str, **details: Any) -> None:
        self._exchange.log.write(event, **details)

    # -- reading commands ----------------------------------------------------------------

    def _wallet(self, body: dict[str, Any]) -> Wallet:
        wallet = self._exchange.members.wallet(str(body["address"]))
        if wallet is None:
            raise ValueError("no such wallet: it has to log in or be funded first")
        return wallet

    def _market(self, body: dict[str, Any]) -> SimMarket:
        return self._exchange.catalog.by_condition[body["market"]]

    def _lots(self, body: dict[str, Any]) -> int:
        return parse_size(str(body["size"]))

    # -- tokens --------------------------------------------------------------------------

    def _split(self, body: dict[str, Any]) -> Any:
        """``{address, market, size}``: cash into as many YES and NO."""
        return self._on_tokens("split", body, self._exchange.accounts.split)

    def _merge(self, body: dict[str, Any]) -> Any:
        """``{address, market, size}``: YES and NO back into cash."""
        return self._on_tokens("merge", body, self._exchange.accounts.merge)

    def _on_tokens(
        self, name: str, body: dict[str, Any], act: Callable[[int, int, int], bool]
    ) -> Any:
        wallet, market, lots = self._wallet(body), self._market(body), self._lots(body)
        if not act(wallet.account, market.index, lots):
            raise ValueError(SHORT)
        self._log(name, account=wallet.address, market=market.condition_id, size_lots=lots)
        return self._balances(wallet, [market])

    def _redeem(self, body: dict[str, Any]) -> Any:
        """``{address, market}``: every free token of a resolved market into its worth."""
        wallet, market = self._wallet(body), self._market(body)
        paid = self._exchange.accounts.redeem(wallet.account, market.index)
        self._log("redeem", account=wallet.address, market=market.condition_id, cash_micro=paid)
        return {"paid_micro": paid, **self._balances(wallet, [market])}

    def _convert(self, body: dict[str, Any]) -> Any:
        """``{address, markets, size}``: NO of some markets of a set into cash and YES of others."""
        wallet, lots = self._wallet(body), self._lots(body)
        catalog = self._exchange.catalog
        markets = [catalog.by_condition[str(item)] for item in body["markets"]]
        if not markets:
            raise ValueError("no markets to convert")
        index = catalog.events.index(markets[0].event)
        numbers = tuple(market.index for market in markets)
        if not self._exchange.accounts.convert(wallet.account, index, numbers, lots):
            raise ValueError(SHORT)
        given = [market.condition_id for market in markets]
        self._log("convert", account=wallet.address, markets=given, size_lots=lots)
        return self._balances(wallet, markets[0].event.markets)

    def _withdraw(self, body: dict[str, Any]) -> Any:
        """``{address, cash}``: move cash away, even from under open orders (they are gone)."""
        wallet, cash = self._wallet(body), parse_cash(str(body["cash"]))
        events = self._exchange.engine.force_withdraw(wallet.account, cash)
        if events is None:
            raise ValueError(SHORT)
        self._log("withdraw", account=wallet.address, cash_micro=cash)
        self._exchange.carry_out(events)
        return self._balances(wallet, [])

    def _balances(self, wallet: Wallet, markets: list[SimMarket]) -> dict[str, Any]:
        holding = self._exchange.accounts.holding(wallet.account)
        tokens = {
            market.token(outcome): str(holding.token(market.index, outcome).lots)
            for market in markets
            for outcome in (0, 1)
        }
        return {"cash": str(holding.cash_micro), "tokens": tokens}

    def _allowance(self, body: dict[str, Any]) -> Any:
        """``{address, spender, asset, amount, read}``: approve a spender on the chain.

        ``asset`` is COLLATERAL (default) or CONDITIONAL, ``amount`` base units, unlimited if
        missing. The exchange goes by it once it reads the chain: with ``read``, or when the
        wallet asks for /balance-allowance/update.
        """
        wallet, asset = self._wallet(body), str(body.get("asset", "COLLATERAL"))
        if asset not in ("COLLATERAL", "CONDITIONAL"):
            raise ValueError(f"asset {asset} is neither COLLATERAL nor CONDITIONAL")
        amount = int(body.get("amount", UNLIMITED))
        if not 0 <= amount <= UNLIMITED:
            raise ValueError("an allowance is an unsigned 256-bit number")
        wallet.approve(asset, str(body["spender"]), amount)
        if body.get("read"):
            wallet.refresh()
        return {"asset": asset, "amount": str(amount)}

    # -- markets -------------------------------------------------------------------------

    def _resolve(self, body: dict[str, Any]) -> Any:
        """``{market, outcome}``: 0 or 1 wins; ``{market, yes_worth}``: "1", "0" or "0.5"."""
        market = self._market(body)
        if "yes_worth" in body:
            yes_ticks = parse_size(str(body["yes_worth"])) // (1_000_000 // PRICE_TICKS_MAX)
        else:
            outcome = int(body.get("outcome", 0))
            if outcome not in (0, 1):
                raise ValueError(f"outcome {outcome} is neither 0 nor 1")
            yes_ticks = 0 if outcome else PRICE_TICKS_MAX
        self.resolve(market, yes_ticks)
        return {"resolved": market.condition_id, "yes_worth_ticks": yes_ticks}

    def _fee(self, body: dict[str, Any]) -> Any:
        """``{market, rate, exponent, in_ms}``: another taker fee, now or so much later."""
        market = self._market(body)
        rate_ppm = parse_size(str(body["rate"]))
        exponent, in_ms = int(body.get("exponent", 1)), int(body.get("in_ms", 0))
        if not 0 <= rate_ppm <= 1_000_000 or not 0 <= exponent <= 8 or in_ms < 0:
            raise ValueError("a fee has a rate of 0 to 1, an exponent of 0 to 8, and is not past")
        from_ms = self._exchange.now_ms + in_ms
        self._exchange.engine.schedule_fee(market.index, from_ms, rate_ppm, exponent)

        def show() -> None:
            market.rules = replace(market.rules, fee_rate_ppm=rate_ppm, fee_exponent=exponent)

        if in_ms:
            self._later(in_ms / 1000, show)
        else:
            show()
        self._log("fee", market=market.condition_id, from_ms=from_ms, rate_ppm=rate_ppm)
        return {"from_ms": from_ms, "rate_ppm": rate_ppm}

    def _delay(self, body: dict[str, Any]) -> Any:
        """``{market, seconds, hold_ms}``: how long marketable orders wait, said or unsaid."""
        market = self._market(body)
        seconds = int(body.get("seconds", market.seconds_delay))
        hold_ms = int(body.get("hold_ms", market.hold_ms))
        if not 0 <= seconds <= 60 or not 0 <= hold_ms <= 60_000:
            raise ValueError("orders wait 0 to 60 seconds")
        market.seconds_delay, market.hold_ms = seconds, hold_ms
        return {"seconds": seconds, "hold_ms": hold_ms}

    def _rebates(self, body: dict[str, Any]) -> Any:
        """``{day}``: pay the makers of a day now, by default today."""
        day = int(body.get("day", self._exchange.now_ms // MS_PER_DAY))
        return {
            "paid": [
                {"market": e.market, "account": e.account, "cash_micro": e.cash_micro}
                for e in self.pay_rebates(day)
            ]
        }


def _command(do: Callable[[dict[str, Any]], Any]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = read_json(await request.read() or b"{}")
            if not isinstance(body, dict):
                raise ValueError("the body is no JSON object")
            return json_response(do(body))
        except KeyError as missing:
            return error(400, f"missing or unknown: {missing}")
        except (TypeError, ValueError, OverflowError) as wrong:
            return error(400, str(wrong))

    return handle
