"""From an intent to a settled order: the only part that holds keys and speaks to the venue."""
