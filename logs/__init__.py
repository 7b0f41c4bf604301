"""How our processes write their log. A room of its own: gateway, workers and command line all do, none of them may
import another, and `wire`, which each may, stands on no library.
"""
