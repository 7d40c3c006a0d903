"""The Space and the local app: put src on the path, serve the page, load the model behind it.

python app.py
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

try:
    import spaces  # Hugging Face ZeroGPU: must come before anything that touches CUDA
except ImportError:
    spaces = None

from switchboard.errors import SwitchboardError
from switchboard.progress import to_stderr
from switchboard.settings import Settings
from switchboard.starting import Starting
from switchboard.ui.app import create_app, launch_options


def main() -> None:
    """Serve the page until stopped; the model is loaded behind it."""
    try:
        settings = Settings.from_environment()
        starting = Starting(settings, to_stderr)
        if spaces:
            # ZeroGPU answers in a forked process, which has what was loaded before the fork and nothing else.
            starting.wait()
        page = create_app(starting, answer=spaces.GPU(starting.answer) if spaces else starting.answer)
        _launch(page, settings)
        running = starting.wait()
        to_stderr("Ready.")
        try:
            running.warm_up()
        except Exception:  # the page is served: it goes on, a little colder
            logging.getLogger(__name__).exception("Warming up failed.")
    except SwitchboardError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: {error}. See that the folder in SWITCHBOARD_DATA can be written and has room.")
    except KeyboardInterrupt:
        sys.exit(130)
    page.block_thread()


def _launch(page: object, settings: Settings) -> None:
    try:
        page.launch(**launch_options(settings), prevent_thread_lock=True)  # type: ignore[attr-defined]
    except OSError as error:
        sys.exit(f"Error: port {settings.port} cannot be used ({error}). Choose another, e.g. PORT=7861 make run.")
    to_stderr(f"The page is at http://{settings.host}:{settings.port}")


if __name__ == "__main__":
    main()
