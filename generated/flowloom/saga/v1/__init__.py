"""Generated from the contract: flowloom.saga.v1."""
