"""What an operator orders the workers to do: to pause with their consumer group, to drain."""
