"""The public endpoints, as gradio_client and an MCP client meet them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

FIELDS = set("question mode answer abstained passages notice cut_off removed_citations metrics".split())


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def test_only_chat_and_search_are_public(client: Client) -> None:
    described = client.view_api(return_format="dict", print_info=False)
    assert sorted(described["named_endpoints"]) == ["/chat", "/search"]
    assert not described["unnamed_endpoints"]


def test_chat(client: Client) -> None:
    said = client.predict("How much is Fibre 500 a month?", mode="rag", passages=3, api_name="/chat")
    assert set(said) == FIELDS
    assert "£36" in said["answer"]
    assert [passage["cited"] for passage in said["passages"]] == [True, True, False]
    assert set(said["passages"][0]) == {"source", "heading", "title", "score", "text", "start", "end", "cited"}
    assert said["metrics"]["output_tokens"] > 10


def test_chat_with_history(client: Client) -> None:
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    said = client.predict("And Fibre 500?", mode="fine-tuned", history=history, api_name="/chat")
    assert said["passages"] == []


def test_search(client: Client) -> None:
    found = client.predict("Fibre 500 price a month", k=2, api_name="/search")
    assert found["covered"] is True
    assert len(found["passages"]) == 2
    assert found["passages"][0]["score"] >= found["passages"][1]["score"]
    missing = client.predict("Do you sell home insurance?", api_name="/search")
    assert missing["covered"] is False
    assert missing["passages"] == []
    assert missing["nearest"]["score"] < missing["threshold"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "nonsense"}, "There is no mode 'nonsense'"),
        ({"passages": 99}, "passages is 99"),
        ({"history": [{"role": "assistant", "content": "Hi"}]}, "beginning with the user"),
        ({"question": "  "}, "There is no question"),
        ({"question": "why " * 2500}, "question has 10,000 characters and at most 8,000 fit"),
        ({"question": "crash", "mode": "fine-tuned"}, "Something went wrong on our side"),
    ],
)
def test_errors_are_sentences(client: Client, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**{"question": "How much?", **arguments}, api_name="/chat")


def test_the_tools_of_the_mcp_server(url: str) -> None:
    async def names() -> dict[str, str]:
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return {tool.name: tool.description or "" for tool in (await session.list_tools()).tools}

    with ThreadPoolExecutor(1) as apart:  # Playwright has an event loop of its own in this thread.
        tools = apart.submit(lambda: asyncio.run(names())).result()
    assert sorted(tools) == ["chat", "search"]
    assert "four paths" in tools["chat"]
