"""The store of xAPI statements in PostgreSQL: what is kept of each, and how it is asked for. Off unless set."""
