"""What happens by the clock: planning notices, sending deliveries, pruning, measuring."""
