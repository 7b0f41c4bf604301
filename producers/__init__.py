"""Our own event producers. They know the door's address and nothing else of the house."""
