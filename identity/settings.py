"""What can be set about identity, from `FLOWLOOM_IDENTITY_*`."""
