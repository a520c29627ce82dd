"""Generated from the contract: flowloom.notify."""
