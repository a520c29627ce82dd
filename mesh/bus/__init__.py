"""The event bus: messages in the order of their key, consumer groups with durable offsets, at least once.

`ports` says what a bus promises; `embedded` keeps the promise with nothing but an outbox table. Knows no service, no
contract and no protobuf: a payload is bytes.
"""
