"""Generated from the contract: flowloom.forms."""
