"""For Python programs."""
