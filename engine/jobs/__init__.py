"""What the engine does by the clock: due jobs, leases, outside work."""
