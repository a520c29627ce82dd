"""What forms does by the clock."""
