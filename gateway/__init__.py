"""The edge: one contract, two faces.

Holds the generator of Envoy's configuration, the process that runs Envoy, and reflection over the merged
contract. Knows services by their names and endpoints only; nothing here knows what a process instance is.
"""
