"""What was: the windows that `pipelines/history` keeps, read from whichever store has them."""
