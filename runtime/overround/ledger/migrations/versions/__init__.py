"""One file a revision; numbers grow and are never reused."""
