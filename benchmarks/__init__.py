"""Benchmarks of surfacefit and of other fitters on the same problems: ``python -m benchmarks --help``."""
