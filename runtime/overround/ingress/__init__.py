"""The ingress: a venue's stream in, trusted books out; live or replayed."""
