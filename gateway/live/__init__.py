"""Redis → WebSocket: every viewer gets a snapshot of each scope he watches, then each change, once."""
