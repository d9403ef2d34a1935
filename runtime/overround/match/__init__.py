"""The matching core: the exchange in the box and the backtester run on it. No I/O, no clock."""
