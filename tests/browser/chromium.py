"""Where Chromium is, and how it is started."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, Playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
MISSING = (
    "No Chromium was found. Install one with `apt install chromium`, or name yours in the environment variable "
    "CHROMIUM, for example CHROMIUM=/usr/bin/google-chrome."
)


def executable() -> str:
    """The path of a Chromium. Raises RuntimeError that says how to get one."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if not found:
        raise RuntimeError(MISSING)
    return found


def launched(playwright: Playwright) -> Browser:
    """A headless Chromium that keeps to itself."""
    return playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
