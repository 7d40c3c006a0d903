"""The decoder of our own, for models of the Llama family on the processor; `llama.fast_version` makes it."""
