"""Side by side with peers and with the bare limit, in one run: `python -m benchmarks [ROW ...] [--quick]`."""
