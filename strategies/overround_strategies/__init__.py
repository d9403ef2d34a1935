"""Strategies that come with overround, one module each; named by entry points."""
