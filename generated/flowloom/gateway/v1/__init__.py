"""Generated from the contract: flowloom.gateway.v1."""
