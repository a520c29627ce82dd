"""What each command does, one module for each kind of target."""
