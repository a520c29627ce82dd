"""Generated from the contract: flowloom.identity.v1."""
