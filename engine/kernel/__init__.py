"""The process engine's pure heart: values in, events out.

Holds the compiled definition, the state of an instance tree, the events that change it and the behaviour of every BPMN
element. Must not know time, randomness, I/O, logging, SQL, protobuf or any other service: what it needs of the world
comes in through its environment (`env.Env`).
"""
