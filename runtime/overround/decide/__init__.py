"""Decide: what strategies are told and may ask for (``strategy``, ``intents``, ``edge``), and
the gate every order passes (``risk``), which runs in the executor only.
"""
