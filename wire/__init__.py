"""Everything that crosses a process boundary, and nothing else. Imports no client library."""
