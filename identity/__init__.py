"""Who somebody is and what they may do: users, groups, privileges, tenants, tokens. Calls no other service."""
