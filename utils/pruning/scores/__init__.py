"""How much is lost with a channel: the criteria."""
