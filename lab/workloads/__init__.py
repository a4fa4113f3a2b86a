"""Workloads: generators of operations with an invariant. To add one: write its file against `base.Workload`."""
