"""The engine's use cases and the group commit that carries commands out. Must not know SQL, protobuf or transport."""
