"""Generated from the contract: flowloom.options.v1."""
