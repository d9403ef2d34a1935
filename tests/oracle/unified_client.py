"""polymarket-client pointed at a local exchange; it has no public option for that."""

from __future__ import annotations

import dataclasses

from polymarket.environments import PRODUCTION, Environment, _create_environment

from oracle.sim_process import SimProcess


def environment_of(sim: SimProcess) -> Environment:
    config = dataclasses.replace(
        PRODUCTION._config,
        clob_url=sim.ready["rest_url"],
        gamma_url=sim.ready["gamma_url"],
        data_url=sim.ready["data_url"],
        relayer_url=sim.ready["relayer_url"],
        clob_market_ws_url=sim.ready["ws_market_url"],
        clob_user_ws_url=sim.ready["ws_user_url"],
    )
    return _create_environment(name="overround", config=config)


def wallet_of(sim: SimProcess, number: int) -> dict[str, str]:
    account = sim.ready["accounts"][number]
    return {"private_key": account["private_key"], "wallet": account["address"]}
