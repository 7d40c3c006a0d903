"""The language model: where it comes from, its adapters, and the engine that writes with it."""
