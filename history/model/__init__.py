"""The values of history: what it is told and what it keeps. Knows no database, no bus and no protobuf."""
