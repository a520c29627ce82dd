"""What happened: process instances, their activities, tasks, variables and links, kept after the engine forgot them.

Fed by the engine's events over the bus, into a database of its own. Knows the contract, never the engine.
"""
