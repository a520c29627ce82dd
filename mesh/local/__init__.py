"""The parts of the in-process transport: one call (`rpc`), its two ends (`context`, `calls`) and client interceptors.

Use it through `mesh.local_channel`. What a generated stub or a servicer can observe is what it observes over a socket.
"""
