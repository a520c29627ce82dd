"""The steps that bring identity's tables up to date."""
