"""A trading runtime for prediction markets: from WebSocket bytes to settled orders."""
