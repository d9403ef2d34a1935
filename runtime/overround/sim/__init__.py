"""The exchange in the box: a venue to trade on, to test against, to break on purpose."""
