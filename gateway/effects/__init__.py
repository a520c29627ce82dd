"""The outside of the edge: descriptor sets, configuration files, Envoy's admin interface and its process."""
