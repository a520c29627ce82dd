"""Reminders and messages to people: channels, templates, preferences, deliveries. Knows tasks from events only."""
