"""The language model: where it comes from, its adapters, and the engine that writes with it."""

from __future__ import annotations

from unittest.mock import patch

# bitsandbytes hands four functions to torch.compile while it is imported, which loads PyTorch's whole compiler: a
# second of every start, for code that is not on our path. They work the same uncompiled.
with patch("torch.compile", lambda function=None, **_options: function or (lambda inner: inner)):
    import bitsandbytes as bitsandbytes
