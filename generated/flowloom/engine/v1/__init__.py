"""Generated from the contract: flowloom.engine.v1."""
