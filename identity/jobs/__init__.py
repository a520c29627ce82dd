"""What identity does by the clock: keys rotate, what is over is deleted."""
