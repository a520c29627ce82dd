"""Benchmarks: each prints ratios of two things run side by side in one run. They are no tests and assert nothing."""
