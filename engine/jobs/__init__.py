"""What runs by the clock: the executor of timers and continuations, the leases and the doing of outside work."""
