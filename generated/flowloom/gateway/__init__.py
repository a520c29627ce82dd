"""Generated from the contract: flowloom.gateway."""
