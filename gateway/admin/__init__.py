"""For whoever runs the house, by the API and by the command line: what could not be used, and what to do with it."""
