"""Runs one service or all of them in one process, and the command line. Enters services by their front doors alone."""

import os

# gRPC reads it while it is imported. Its fork handlers only print a notice when Envoy or a renderer is started.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
