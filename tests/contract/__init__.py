"""The contract against its own rules: the descriptor set, what is generated, and what the edge makes of it."""
