"""Tokenizers that are all in one file, without what transformers' AutoTokenizer imports: a second and 100 MB."""

from __future__ import annotations

from pathlib import Path

# Here, as build.py imports it before it begins to load in two threads: two that import transformers at the same time
# find half of it.
from transformers import PreTrainedTokenizerFast


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder's `tokenizer.json`. Raises OSError or ValueError."""
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
