"""The Space and the local app: put src on the path, build, launch.

    python app.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

try:
    import spaces  # Hugging Face ZeroGPU: must come before anything that touches CUDA
except ImportError:
    spaces = None

from switchboard.build import build
from switchboard.errors import SwitchboardError
from switchboard.progress import to_stderr
from switchboard.settings import Settings
from switchboard.ui.app import create_app, launch_options


def main() -> None:
    """Build the Switchboard and serve its page until stopped."""
    try:
        settings = Settings.from_environment()
        running = build(settings, to_stderr)
    except SwitchboardError as error:
        sys.exit(f"Error: {error}")
    answer = running.switchboard.answer
    page = create_app(running, answer=spaces.GPU(answer) if spaces else answer)
    to_stderr(f"Open http://{settings.host}:{settings.port}")
    try:
        page.launch(**launch_options(settings))
    except OSError as error:
        sys.exit(f"Error: port {settings.port} cannot be used ({error}). Choose another, e.g. PORT=7861 make run.")


if __name__ == "__main__":
    main()
