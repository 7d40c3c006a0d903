"""Measuring: retrieval on public benchmarks, and answers on held-out questions."""
