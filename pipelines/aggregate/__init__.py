"""activity → fold (by student) → partials → merge (by scope) → metrics."""
