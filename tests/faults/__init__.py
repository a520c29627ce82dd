"""What must survive: kill -9 in loops and at every statement, databases that go away."""
