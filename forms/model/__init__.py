"""Forms as values: a model, what is wrong with one, what a submission must hold. Knows no transport, no storage."""
