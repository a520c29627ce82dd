"""The servicers of forms: translation between the contract and the use cases, nothing else."""
