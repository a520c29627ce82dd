"""The contract of history: requests in, answers out. Translates, decides nothing."""
