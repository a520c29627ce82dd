"""What history does: records what it is told, answers what is asked. Orders its ports; knows no SQL and no protobuf."""
