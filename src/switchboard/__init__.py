"""Switchboard: one small language model, four ways to answer, and what each of them costs."""

__version__ = "0.1.0"
