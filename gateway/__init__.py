"""The FastAPI service: the door, the dashboard's API, live updates and health."""
