"""Disks that are full, may not be written to, or are gone. Real file systems, of a few megabytes."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from causing import Page, ended, environment, fault, python, sentence
from demo import demo
from gradio_client import Client
from kept import Kept
from test_killed import INDEX

from switchboard.build import Running, build
from switchboard.database import Database
from switchboard.errors import StorageError
from switchboard.feedback import FeedbackStore
from switchboard.generation.model import load_model
from switchboard.progress import quietly
from switchboard.settings import ROOT, Settings
from switchboard.types import Answer
from switchboard.ui.app import create_app, launch_options
from tiny_model import make_adapter

Disk = Callable[[str], Path]
QUESTION = "What is the late payment fee?"


def fill(folder: Path) -> Path:
    """Leave no byte of room; returns the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast


def whole(tiny_settings: Settings, articles: Path, data: Path) -> Settings:
    """Settings of a whole Switchboard, with a model that is small and a knowledge folder of six articles."""
    for n, name in enumerate(("customer-service", "reader")):
        if not (tiny_settings.adapters / name).exists():
            make_adapter(tiny_settings, name, n)
    embedder = ROOT / ".switchboard" / "models" / "all-MiniLM-L6-v2" / "model"
    return replace(tiny_settings, quantization="none", knowledge=articles, embedder=str(embedder), data=data)


@pytest.fixture(scope="module")
def few(articles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six articles without known questions, which take seconds to embed."""
    folder = tmp_path_factory.mktemp("few") / "knowledge"
    shutil.copytree(articles, folder, ignore=shutil.ignore_patterns("asked.jsonl"))
    return folder


def answers_in_all_modes(page: Page) -> None:
    for mode in ("rag", "combined", "fine-tuned", "base"):
        turn = page.ask(QUESTION, mode)
        assert turn["state"] == "done", turn


def cannot_rate(page: Page) -> None:
    page.warned.clear()
    page.ask(QUESTION, "base")
    page.rate(True)
    assert page.warned == ["Your rating could not be stored just now; please try again."]


def ratings(data: Path) -> int:
    return FeedbackStore(Database.at(data / "feedback.sqlite")).export_csv(io.StringIO())


@fault(
    "The disk is full when the index is to be made.",
    "RAG and Combined answer from a copy, see below.",
    "`index` and `setup` end with one line that says what to do; with room it is made.",
)
@pytest.mark.parametrize("room", ["64k", "700k", "1000k", "1300k", "1600k", "1900k"])
def test_disk_full_while_indexing(disk: Disk, articles: Path, tmp_path: Path, room: str) -> None:
    kept = Kept(tmp_path, articles)
    kept.data = disk(f"size={room}")
    said = ""
    try:
        kept.start().close()  # where all but the last bytes fit
    except StorageError as error:
        said = str(error)
    assert (sentence(said) and ("room" in said or "space" in said)) or room == "1900k"
    disk("size=64m")
    kept.start().close()
    kept.healthy()


@fault(
    "The disk is full when the quantized model is to be made.",
    "The page does not come up.",
    "Ends with one line that names the folder and says what to do; with room it is made, and nothing half is left.",
)
@pytest.mark.parametrize("room", ["64k", "3m"], ids=["no room at all", "for half of it"])
def test_disk_full_while_the_model_is_made(disk: Disk, tiny: Path, room: str) -> None:
    settings = Settings(model=str(tiny), data=disk(f"size={room}"))
    with pytest.raises(StorageError, match="No space left on device") as raised:
        load_model(settings, quietly)
    assert sentence(str(raised.value))
    assert not [path for path in settings.data.rglob("*") if path.is_file() and path.stat().st_size]
    disk("size=64m")
    load_model(settings, quietly)


@fault(
    "The disk is full, with an index that is current.",
    "All paths answer; a rating: “Your rating could not be stored just now; please try again.”",
    "Searches a copy of the index where it cannot be opened, and says so; with room it is as before, and no rating is "
    "lost.",
)
def test_disk_full_while_answering(
    disk: Disk, tiny_settings: Settings, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = whole(tiny_settings, few, disk("size=16m"))
    running = build(settings, quietly)
    page = Page(running, monkeypatch)
    page.ask(QUESTION, "base")
    page.rate(True)
    ballast = fill(settings.data)
    answers_in_all_modes(page)
    for _ in range(40):
        page.ask(QUESTION, "base")
        page.rate(False)
        if page.warned:
            break
    cannot_rate(page)
    answers_in_all_modes(Page(build(settings, quietly), monkeypatch))
    ballast.unlink()
    page.warned.clear()
    before = ratings(settings.data)
    assert before >= 1
    page.ask(QUESTION, "base")
    page.rate(True)
    assert not page.warned
    assert ratings(settings.data) == before + 1
    running.index.close()


@fault(
    "A limit on the size of files is met, which takes no root: the index and the ratings.",
    "As on a full disk.",
    "As on a full disk.",
)
@pytest.mark.parametrize("what", ["index", "ratings"])
def test_limit_on_the_size_of_files(articles: Path, tmp_path: Path, what: str) -> None:
    rate = (
        "import sys; from pathlib import Path; from switchboard.types import Answer\n"
        "from switchboard.database import Database; from switchboard.feedback import FeedbackStore\n"
        "store = FeedbackStore(Database.at(Path(sys.argv[2]) / 'feedback.sqlite'))\n"
        "for n in range(2000): store.add(str(n), 'q', Answer('rag', 'x' * 500, done=True), True); print(n, flush=True)"
    )
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    data = tmp_path / "data"
    status, out, err = ended(python(limit + (INDEX if what == "index" else rate), articles, data))
    assert status == 1
    if what == "index":
        assert "StorageError" in err.splitlines()[-1] if "StorageError" in err else "OperationalError" in err
        kept = Kept(tmp_path, articles)
        kept.start().close()
        kept.healthy()
    else:
        file = io.StringIO(newline="")
        FeedbackStore(Database.at(data / "feedback.sqlite")).export_csv(file)
        found = {row["id"] for row in csv.DictReader(io.StringIO(file.getvalue(), newline=""))}
        assert set(out.split()) <= found


@fault(
    "The disk that uploads are written to is full.",
    "“There is no room for files here just now. Please try again later.” The page answers on; with room the same file "
    "is taken.",
    "Nothing is left to do.",
)
def test_disk_full_while_uploading(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = disk("size=1m")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(at / "gradio"))
    running = demo(tmp_path / "data", pause=0.0)
    app = create_app(running)
    _, url, _ = app.launch(
        **{**launch_options(running.settings), "server_port": None, "quiet": True}, prevent_thread_lock=True
    )

    def upload(size: int) -> tuple[int, str]:
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        body = head + b"a" * size + b"\r\n--x--\r\n"
        request = Request(
            f"{url}gradio_api/upload", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        try:
            with urlopen(request, timeout=20) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    try:
        status, said = upload(3_000_000)
        assert (status, said) == (507, "There is no room for files here just now. Please try again later.")
        client = Client(url, verbose=False)
        assert client.predict("How much is Fibre 500?", "fine-tuned", api_name="/chat")["answer"]
        disk("size=32m")
        assert upload(3_000_000)[0] == 200
    finally:
        app.close()


@fault(
    "The data folder may not be written to (a read-only mount), with an index that is current.",
    "All paths answer; a rating: “Your rating could not be stored just now; please try again.”",
    "Says in one line that a copy of the index is searched, and why. Written to again, it is as before.",
)
def test_read_only_data_folder(
    disk: Disk, tiny_settings: Settings, few: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = whole(tiny_settings, few, disk("size=16m"))
    first = build(settings, quietly)
    Page(first, monkeypatch)
    FeedbackStore(Database.at(settings.data / "feedback.sqlite")).add(
        "one", "q", Answer("rag", "x", done=True), liked=True
    )
    first.index.close()
    disk("ro")
    lines: list[str] = []
    running: Running = build(settings, lines.append)
    (said,) = (line for line in lines if "it is a copy that is searched" in line)
    assert sentence(said)
    page = Page(running, monkeypatch)
    answers_in_all_modes(page)
    cannot_rate(page)
    command = [sys.executable, "-m", "switchboard", "feedback", str(tmp_path / "likes.csv")]
    done = subprocess.run(
        command, env=environment(SWITCHBOARD_DATA=str(settings.data)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or (done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1)
    disk("rw")
    lines.clear()
    again = build(settings, lines.append)
    assert not [line for line in lines if "copy" in line or "aside" in line]
    assert ratings(settings.data) == 1
    again.index.close()


@fault(
    "The process runs as a user who may not write to the data folder.",
    "As above.",
    "`index` and `setup` end with one line that says what to do.",
)
def test_data_folder_of_somebody_else(articles: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user takes root")
    kept = Kept(tmp_path, articles)
    kept.start().close()
    for path in (*tmp_path.parents, *articles.parents):
        if path.is_relative_to("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    # As root it may import anything; what it imports lies where only root may look.
    code = INDEX.replace("print('begins'", "import os; os.setgid(65534); os.setuid(65534); print('begins'")
    status, _, err = ended(python(code, articles, kept.data))
    assert status == 1
    assert "StorageError" in err.splitlines()[-1]
    assert "can be written" in err.splitlines()[-1]
    kept.healthy()


@fault(
    "The data folder vanishes while the app runs.",
    "All paths answer, or say in a sentence that documents cannot be searched now; a rating is stored in a new file.",
    "Makes the folder anew.",
)
def test_data_folder_vanishes(
    tiny_settings: Settings, few: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = whole(tiny_settings, few, tmp_path / "data")
    running = build(settings, quietly)
    page = Page(running, monkeypatch)
    answers_in_all_modes(page)
    shutil.rmtree(settings.data)
    for mode in ("rag", "combined"):
        turn = page.ask("What happens when a bill is not paid?", mode)
        assert turn["state"] == "done" or turn["error"].startswith("The documents cannot be searched now.")
    for mode in ("fine-tuned", "base"):
        assert page.ask(QUESTION, mode)["state"] == "done"
    page.rate(True)
    assert not page.warned
    assert ratings(settings.data) == 1
    again = build(settings, quietly)
    answers_in_all_modes(Page(again, monkeypatch))
    again.index.close()
