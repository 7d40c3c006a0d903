"""What tests that cause faults share: small knowledge, file systems of a few megabytes, and the count at the end."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from causing import ROWS, table
from kept import QUESTIONS, Kept

from retrieval_fakes import FakeEmbedder
from switchboard.progress import quietly
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.settings import ROOT

_FOLDER = Path(__file__).parent
_A_FILE = re.compile("file_is_refused_with_its_reason|what_could_do_harm_is_gone")
"""The tests that are a broken or hostile file each."""
_OF_A_SERVER = re.compile(r"tests/test_(remote|chroma_server|database)\.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-faults", action="store_true", help="Write docs/faults.md from the tests' own words.")


def pytest_itemcollected(item: pytest.Item) -> None:
    if _FOLDER in item.path.parents and (mark := item.get_closest_marker("fault")):
        item.add_marker(pytest.mark.faults)
        case = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        ROWS[item.originalname].append((case, mark.kwargs))  # type: ignore[attr-defined]


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("--write-faults", default=False):
        (ROOT / "docs" / "faults.md").write_text(table(), encoding="utf-8")


class _Count:
    """What became of the tests. A plugin of its own, as a conftest hears of the tests beside it alone."""

    def __init__(self) -> None:
        self.outcomes: dict[str, bool] = {}
        self.skipped = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.skipped += report.skipped
        if (report.when == "call" and not report.skipped) or report.failed:
            self.outcomes[report.nodeid] = report.passed and self.outcomes.get(report.nodeid, True)

    def pytest_unconfigure(self) -> None:
        """The last line of `make test-faults`."""
        faults = [passed for name, passed in self.outcomes.items() if "/faults/" in name and "the_table" not in name]
        files = [
            passed for name, passed in self.outcomes.items() if "test_hostile_files" in name and _A_FILE.search(name)
        ]
        servers = [passed for name, passed in self.outcomes.items() if _OF_A_SERVER.search(name)]
        if faults:
            print(
                f"faults: {len(faults)} caused, {sum(faults)} survived; files: {len(files)} tried, "
                f"{sum(files)} refused or cleaned; tests of servers that fail: {len(servers)}, {sum(servers)} passed; "
                f"{self.skipped} skipped"
            )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Count())


@pytest.fixture(scope="session")
def articles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six of the shipped articles, and 1,200 questions about them."""
    folder = tmp_path_factory.mktemp("articles") / "knowledge"
    folder.mkdir()
    source = "late-payment-fee.md"
    others = [path for path in sorted((ROOT / "knowledge" / "billing").glob("*.md")) if path.name != source]
    for path in [ROOT / "knowledge" / "billing" / source, *others[:5]]:
        shutil.copy(path, folder)
    index = KnowledgeIndex.open(folder, folder.parent / "scratch", FakeEmbedder(), quietly, 0.2)
    heading = next(p.heading for p in index.passages if p.source == source)
    index.close()
    rows = [{"question": f"what is fee number {n}", "source": source, "heading": heading} for n in range(QUESTIONS)]
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory, articles: Path) -> Kept:
    """The index as a start leaves it; to be copied."""
    kept = Kept(tmp_path_factory.mktemp("pristine"), articles)
    kept.start().close()
    return kept


@pytest.fixture
def kept(pristine: Kept, tmp_path: Path) -> Kept:
    """A copy of it, to be damaged."""
    shutil.copytree(pristine.data, tmp_path / "data")
    return Kept(tmp_path, pristine.knowledge)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a real file system of a size such as "4m" and, with the same call again, one of another size of it."""
    at = tmp_path / "disk"
    at.mkdir()
    mounted: list[str] = []

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"{'remount,' if mounted else ''}{options}", "tmpfs", str(at)]
        deadline = time.monotonic() + 20
        while (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
            if not mounted:
                pytest.skip("A file system cannot be mounted here; run this as root.")
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.2)  # a file that is being closed is still open for writing
        mounted.append(options)
        return at

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(at)], check=False)
