"""What the gateway itself serves over gRPC."""
