"""The engine's servicers: requests to commands, results to responses. Must not decide anything."""
