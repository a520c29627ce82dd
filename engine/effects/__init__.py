"""What the engine does outside of itself: scripts, events for the bus, HTTP requests. Knows no SQL and no RPC."""
