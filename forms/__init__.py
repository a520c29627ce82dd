"""Form definitions, their validation, submitted data. Calls no other service."""
