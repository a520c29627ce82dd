"""Generated from the contract: flowloom.saga."""
