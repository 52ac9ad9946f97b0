"""Benchmarks: for each claim about speed, a peer and Palate side by side in one run.

`python -m benchmarks` (or `make bench`) runs all of them, `python -m benchmarks NAME ...` some, `--quick` tiny ones
that only show that everything runs. To add one: a module in this package with `BENCHMARK = Benchmark(...)`, listed in
`benchmarks.harness.NAMES`.
"""
