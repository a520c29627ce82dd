"""Generated from the contract: flowloom.notify.v1."""
