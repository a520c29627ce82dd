"""The demonstration: a leave approval on a mesh of its own, over REST through the edge, with a worker over gRPC.

It knows the public API only, as any client would; `mesh` starts `flowloom up` as a process and stops it again.
"""
