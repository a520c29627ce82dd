"""Generated from the contract: flowloom.options."""
