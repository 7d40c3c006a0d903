"""What `deploy/` names is there: files, services, volumes, variables, versions, and the proxy's template."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from switchboard.settings import ROOT

DEPLOY = ROOT / "deploy"
NOT_OURS = {"OMP_NUM_THREADS"}
"""Variables of the app's container that its libraries read."""


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load(read("compose.yaml"))
    assert isinstance(loaded, dict)
    return loaded


def of_settings() -> set[str]:
    """The variables that Settings reads."""
    source = (ROOT / "src" / "switchboard" / "settings.py").read_text(encoding="utf-8")
    return set(re.findall(r'"(SWITCHBOARD_[A-Z_]+|HOST|PORT)"', source))


def asked_for(text: str) -> set[str]:
    """The variables that Compose fills in."""
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))


def test_compose_is_what_the_specification_allows(compose: dict[str, Any]) -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text(encoding="utf-8")))


def test_each_service_has_what_it_leans_on(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert service["restart"] == "unless-stopped"
        assert "memory" in service["deploy"]["resources"]["limits"], name
        assert set(service["networks"]) <= set(compose["networks"]), name
        for other, condition in service.get("depends_on", {}).items():
            assert condition["condition"] == "service_healthy"
            assert "healthcheck" in services[other], f"{name} waits for {other}, which nobody checks"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            there = (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
            assert there, f"{name} mounts {source}, which is not there"


def test_only_the_proxy_is_reached_from_elsewhere(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"proxy", "prometheus"}
    assert all(port.startswith("127.0.0.1:") for port in published["prometheus"])
    assert compose["networks"]["inside"]["internal"]
    assert compose["services"]["app"]["networks"] == ["inside"]


def test_every_variable_can_be_set() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", read("example.env"), re.MULTILINE))
    assert asked_for(read("compose.yaml")) == set(example)
    for name, value in example.items():
        assert not value or "PASSWORD" not in name, f"{name} has a password that everybody would use"


def test_the_app_reads_every_variable_that_it_is_given(compose: dict[str, Any]) -> None:
    ours = set(compose["services"]["app"]["environment"]) - NOT_OURS
    assert ours - of_settings() == set()


def test_the_env_file_stays_out_of_git() -> None:
    done = subprocess.run(["git", "check-ignore", "-q", "deploy/.env"], cwd=ROOT, check=False)
    assert done.returncode in (0, 128), "git would take deploy/.env, which holds passwords"


def test_versions_are_those_that_were_tested(compose: dict[str, Any]) -> None:
    assert compose["services"]["chroma"]["image"] == f"chromadb/chroma:{version('chromadb')}"
    for name, service in compose["services"].items():
        assert name == "app" or re.search(r":v?\d+\.?\d*", service["image"]), f"{name} takes whatever is newest"


def test_the_server_of_models_has_the_adapters(compose: dict[str, Any]) -> None:
    command = compose["services"]["vllm"]["command"]
    named = dict(part.split("=/adapters/") for part in command if "=/adapters/" in part)
    assert set(named) == {"customer-service", "reader"}
    (most,) = (int(part.split("=")[1]) for part in command if part.startswith("--max-lora-rank"))
    for adapter, folder in named.items():
        assert adapter == folder, "a mode asks for its adapter by its own name"
        config = json.loads((ROOT / "adapters" / folder / "adapter_config.json").read_text(encoding="utf-8"))
        assert config["r"] <= most
        assert config["base_model_name_or_path"] == command[0]


def test_the_image_is_made_of_files_that_are_there() -> None:
    dockerfile = read("Dockerfile")
    copied = [name for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]]
    assert "src" in copied
    sent = {line[1:] for line in read("Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    assert set(copied) == sent
    assert all((ROOT / name).exists() for name in copied)
    assert re.search(r"^USER switchboard$", dockerfile, re.MULTILINE)
    assert dockerfile.index("pip install") < dockerfile.index("COPY src"), "a change of code would fetch every library"


def test_each_replica_is_a_line_of_the_proxy(compose: dict[str, Any]) -> None:
    script = DEPLOY / "replicas.envsh"
    assert os.access(script, os.X_OK), "nginx's container passes over what cannot be executed"
    done = subprocess.run(
        ["sh", "-c", f'. {script}; printf %s "$SERVERS"'],
        env={**os.environ, "SWITCHBOARD_REPLICAS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    servers = re.findall(r"server (\S+):7860 resolve [^;]+;", done.stdout)
    assert servers == [f"{compose['name']}-app-{number}" for number in (1, 2, 3)]
    filled = compose["services"]["proxy"]["environment"]["NGINX_ENVSUBST_FILTER"].replace("$$", "$")
    assert {name for name in asked_for(read("nginx.conf.template")) if re.search(filled, name)} == {"PORT", "SERVERS"}


def test_prometheus_asks_services_that_are_there(compose: dict[str, Any]) -> None:
    for job in yaml.safe_load(read("prometheus.yml"))["scrape_configs"]:
        for found in job["dns_sd_configs"]:
            assert set(found["names"]) <= set(compose["services"])
