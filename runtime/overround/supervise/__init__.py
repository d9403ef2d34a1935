"""The process tree: regions, spawning, liveness, restarts, the kill latch, discovery."""
