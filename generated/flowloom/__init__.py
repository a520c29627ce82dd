"""Generated from the contract: flowloom."""
