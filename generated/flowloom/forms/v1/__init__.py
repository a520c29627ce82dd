"""Generated from the contract: flowloom.forms.v1."""
