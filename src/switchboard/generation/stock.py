"""The stock stack: transformers, PEFT and bitsandbytes, imported where the fast decoder does not know the model.

Together they take three seconds and 200 MB, which a start with the fast decoder does without.
"""

from __future__ import annotations

from unittest.mock import patch

# bitsandbytes hands four functions to torch.compile while it is imported, which loads PyTorch's whole compiler: a
# second of every start, for code that is not on our path. They work the same uncompiled.
with patch("torch.compile", lambda function=None, **_options: function or (lambda inner: inner)):
    import bitsandbytes

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, DynamicCache, GgufConfig

__all__ = [
    "AutoModelForCausalLM",
    "AutoTokenizer",
    "BitsAndBytesConfig",
    "DynamicCache",
    "GgufConfig",
    "PeftModel",
    "bitsandbytes",
]
