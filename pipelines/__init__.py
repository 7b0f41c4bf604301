"""The Faust apps: activity to metrics to the stores. Each folder is one consumer group with one `app.py`."""
