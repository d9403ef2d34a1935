"""Shared memory: segments, rings, slots, tap and meters over the native core."""
