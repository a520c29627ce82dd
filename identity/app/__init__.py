"""What identity does: accounts, groups, privileges, logins, tokens. Orders its ports; knows no SQL and no protobuf."""
