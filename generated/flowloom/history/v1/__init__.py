"""Generated from the contract: flowloom.history.v1."""
