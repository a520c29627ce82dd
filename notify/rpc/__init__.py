"""The servicers of notify: translation between the contract and the use cases, nothing else."""
