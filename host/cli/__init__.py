"""The command line, `flowloom`: one file for each command.

`application` puts the commands together. All but `up`, `serve` and `demo` are clients: they talk gRPC to the mesh at
`--target`, through `connection`, and know the contract only. `output` prints, `variables` reads `name=value`.
"""

from host.cli.application import main

__all__ = ["main"]
