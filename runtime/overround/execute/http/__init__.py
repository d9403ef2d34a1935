"""HTTP/1.1 to the venue: connections, their pool, the bytes of requests, budgets, troubles."""
