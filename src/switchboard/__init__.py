"""Switchboard: one small language model, four ways to answer, and what each of them costs."""

import logging
import os

__version__ = "0.1.0"

# Before the libraries are imported: no telemetry, and no hints that mean nothing to the person at the keyboard.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# Gradio keeps the last 10,000 events and makes a table of them after each one, which nobody looks at here.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
# NumPy's helpers go on turning for milliseconds after a product, which halves the speed of the models; see compute.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# PyTorch's products keep a program for each length of a prompt, a thousand of them: 150 MB, and soon made anew.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
