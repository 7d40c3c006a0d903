"""Training: data that is checked before it teaches, and LoRA adapters made from recipes."""
