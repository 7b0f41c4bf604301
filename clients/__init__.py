"""Who watches, from outside: what anybody may use to follow ClassPulse live."""
