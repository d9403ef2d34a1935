"""Polymarket: order signing and amounts, fees, discovery, both sockets' texts, REST answers.

Nothing here does I/O or reads a clock: requests are described (``rest``), answers are read
(``answers``), and the caller passes the time.
"""
