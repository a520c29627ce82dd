"""Generated from the contract: flowloom.events."""
