"""Tests of the command line, against a gRPC server that answers what a test tells it."""
