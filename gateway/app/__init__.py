"""From a snapshot to Envoy's resources, as plain mappings in memory: no files, no process, no protobuf."""
