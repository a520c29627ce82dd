"""What notify knows: tasks that are open, notices to plan, deliveries, templates, preferences. Values, no I/O."""
