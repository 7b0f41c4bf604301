"""For the one on call: what is wrong and since when, and how this process of the gateway does."""
