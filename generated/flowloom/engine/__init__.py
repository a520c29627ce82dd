"""Generated from the contract: flowloom.engine."""
