"""What history does by the clock."""
