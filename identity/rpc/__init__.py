"""The servicers of identity: translation between the contract and the use cases, nothing else."""
