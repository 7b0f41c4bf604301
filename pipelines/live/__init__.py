"""metrics → Redis: the newest value of each metric of a scope, and one update a scope for whoever watches it."""
