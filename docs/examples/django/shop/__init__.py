"""A shop whose orders are confirmed in the background."""
