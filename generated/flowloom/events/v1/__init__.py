"""Generated from the contract: flowloom.events.v1."""
