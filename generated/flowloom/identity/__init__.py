"""Generated from the contract: flowloom.identity."""
