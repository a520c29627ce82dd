"""One file per step; each runs while the former release still works on the database."""
