"""Generated from the contract: flowloom.history."""
