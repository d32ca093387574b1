"""Settings: where they come from, which wins, and what is said about a wrong one."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from stepwire import Settings, SettingsError
from stepwire_handlers.configuration import (
    Configuration,
    export,
    load,
    load_with_sources,
    local_bus,
    secrets,
)

PLANTED = "planted-secret-0815"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("STEPWIRE_", "ANTHROPIC_")):
            monkeypatch.delenv(name)


def test_a_flag_goes_before_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the source of each value is known, also inside [worker], where file and environment meet."""
    (tmp_path / "stepwire.toml").write_text(
        'log = "console"\npayload = "off"\nbus = "sqlite:///a.db"\n[worker]\ndrain = 5\nkeep = 9\n'
    )
    monkeypatch.setenv("STEPWIRE_PAYLOAD", "full")
    monkeypatch.setenv("STEPWIRE_BUS", "sqlite:///b.db")
    monkeypatch.setenv("STEPWIRE_WORKER__KEEP", "10")
    loaded = load_with_sources(tmp_path, bus="sqlite:///c.db", log=None)
    values, sources = loaded.values, loaded.sources
    assert (values.log, values.payload, values.bus) == ("console", "full", "sqlite:///c.db")
    assert (values.worker.drain, values.worker.keep, values.worker.batch) == (5.0, 10.0, Settings().batch)
    assert sources["log"] == f"{tmp_path / 'stepwire.toml'}:log"
    assert sources["payload"] == "environment STEPWIRE_PAYLOAD"
    assert sources["bus"] == "flag"
    assert sources["worker.drain"].endswith("stepwire.toml:worker.drain")
    assert sources["worker.keep"] == "environment STEPWIRE_WORKER__KEEP"
    shown = {setting.name: setting for setting in loaded.shown()}
    assert shown["durability"] == ("durability", "process", "default")
    assert shown["worker.keep"].value == 10.0


def test_every_setting_can_be_seen() -> None:
    """`stepwire config` hides none, the kernel's included."""
    names = {setting.name for setting in load_with_sources().shown()}
    assert names == {
        *(Configuration.model_fields.keys() - {"worker", "kafka", "registry", "topics"}),
        *(f"worker.{f.name}" for f in fields(Settings)),
    }


@pytest.mark.parametrize("variable", ["STEPWIRE_DECISION_KEY", "ANTHROPIC_API_KEY"])
def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """…_FILE names it; the value shows itself nowhere; both at once, an empty or a missing file are refused."""
    (tmp_path / "key").write_text(f"{PLANTED}\n")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "key"))
    loaded = load_with_sources(tmp_path)
    assert secrets(loaded.values) == (PLANTED,)
    assert PLANTED not in repr(loaded.values) + repr(loaded.shown()) + loaded.values.model_dump_json()
    assert loaded.sources[variable.removeprefix("STEPWIRE_").lower()] == f"environment {variable}_FILE"
    monkeypatch.setenv(variable, "another")
    with pytest.raises(SettingsError, match="both set"):
        load(tmp_path)
    monkeypatch.delenv(variable)
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SettingsError, match="empty"):
        load(tmp_path)
    (tmp_path / "key").unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path)


def test_a_wrong_value_is_said_with_its_place_and_without_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value may be a secret that went into the wrong variable."""
    monkeypatch.setenv("STEPWIRE_HTTP_PORT", PLANTED)
    with pytest.raises(SettingsError, match="environment STEPWIRE_HTTP_PORT: http_port: ") as failed:
        load()
    assert PLANTED not in str(failed.value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("STEPWIRE_PAYLAOD", "off", "did you mean STEPWIRE_PAYLOAD"),
        ("STEPWIRE_WORKER__DRIAN", "5", "did you mean STEPWIRE_WORKER__DRAIN"),
        ("STEPWIRE_BLOBS_FILE", "x", "did you mean STEPWIRE_BLOBS"),
        ("STEPWIRE_WORKER__DRAIN", "soon", "worker.drain: Input should be a valid number"),
        ("STEPWIRE_WORKER__DRAIN", "-1", r"drain must be above 0, not -1.0 \(environment STEPWIRE_WORKER__DRAIN\)"),
        ("STEPWIRE_WORKER__BATCH", "2.5", "worker.batch: .*integer"),
        ("STEPWIRE_RETENTION", "0", "retention: "),
        ("STEPWIRE_BUS", "kafka://broker", "names no brokers"),
        ("STEPWIRE_PREFIX", "prod a.", "prefix: topics on Kafka begin with it: write"),
        ("STEPWIRE_KAFKA__SASL_PASWORD", "x", "did you mean STEPWIRE_KAFKA__SASL_PASSWORD"),
        ("STEPWIRE_BUS", "sqlite://bus.db", "three slashes"),
        ("STEPWIRE_BUS", "kafak://127.0.0.1:9092", "write kafka://host:port"),
        ("STEPWIRE_BUS", "redis://u:planted@x", r"\*\*\*@x"),
    ],
)
def test_a_mistake_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """Nothing is ignored silently; the message names the nearest thing that exists."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=says) as failed:
        load()
    assert "planted" not in str(failed.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('blobbs = "x"', "did you mean blobs"),
        ("[worker]\ndrian = 5", "did you mean worker.drain"),
        ("worker = 3", r"write \[worker\]"),
        ("log = ", "cannot be read"),
        ("[bus]\nurl = 'x'", "stepwire.toml:bus: bus: "),
    ],
)
def test_a_mistake_in_the_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """With the file's name."""
    (tmp_path / "stepwire.toml").write_text(text)
    with pytest.raises(SettingsError, match=says) as failed:
        load(tmp_path)
    assert "stepwire.toml" in str(failed.value)


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    """It is not taken for no file at all."""
    (tmp_path / "stepwire.toml").mkdir()
    with pytest.raises(SettingsError, match=r"stepwire\.toml cannot be read: Is a directory"):
        load(tmp_path)


def test_what_others_set_with_our_prefix_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands' own variables, and those that Kubernetes sets for a service named stepwire; empty is not set."""
    for name in ("STEPWIRE_APP", "STEPWIRE_SERVICE_HOST", "STEPWIRE_PORT", "STEPWIRE_PORT_8080_TCP_ADDR",
                 "STEPWIRE_METRICS_SERVICE_PORT_HTTP", "STEPWIRE_DOOR_PORT_8080_TCP"):  # fmt: skip
        monkeypatch.setenv(name, "tcp://10.0.0.1:8080")
    monkeypatch.setenv("STEPWIRE_PAYLOAD", "")
    assert load() == Configuration()


def test_a_configuration_cannot_be_changed() -> None:
    """Frozen: what was checked is what holds."""
    with pytest.raises(ValidationError):
        load().payload = "full"  # type: ignore[misc]


def test_a_misspelt_flag_is_a_mistake_too() -> None:
    """Of ours, but said all the same."""
    with pytest.raises(SettingsError, match="did you mean http_port"):
        load(http_prot=1)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///bus.db", "bus.db"),
        ("sqlite:///.stepwire/bus.db", ".stepwire/bus.db"),
        ("sqlite:////var/lib/bus.db", "/var/lib/bus.db"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_the_bus_is_named_by_an_address(url: str, path: str) -> None:
    """Three slashes for a relative path, four for an absolute one."""
    assert local_bus(Configuration(bus=url)).path == path


@pytest.mark.parametrize(
    ("bus", "blobs"),
    [
        (None, ".stepwire/blobs"),
        ("sqlite:///.stepwire/bus.db", ".stepwire/blobs"),
        ("sqlite:///bus.db", "blobs"),
        ("sqlite:////data/shop/bus.db", "/data/shop/blobs"),
        ("sqlite://:memory:", ".stepwire/blobs"),
        ("kafka://127.0.0.1:9", ".stepwire/blobs"),
    ],
)
def test_files_lie_beside_the_bus_unless_a_place_is_named(
    bus: str | None, blobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who publishes to a file from another folder means the blobs that its worker reads."""
    loaded = load_with_sources(tmp_path, bus=bus)
    beside = bus is not None and bus.startswith("sqlite:///")
    assert loaded.values.blobs == blobs
    assert loaded.sources.get("blobs") == ("default, beside the bus" if beside else None)
    monkeypatch.setenv("STEPWIRE_BLOBS", "elsewhere")
    assert load_with_sources(tmp_path, bus=bus).values.blobs == "elsewhere"


def test_what_flows_read_themselves_is_handed_on() -> None:
    """A key from a file or from stepwire.toml reaches the client; what the environment says stays."""
    values = Configuration(
        blobs="b", anthropic_api_key=SecretStr(PLANTED), anthropic_base_url="http://127.0.0.1:1"
    )  # fmt: skip
    environment = {"STEPWIRE_BLOBS": "a"}
    export(values, environment)
    assert environment == {
        "STEPWIRE_BLOBS": "a",
        "ANTHROPIC_API_KEY": PLANTED,
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
    }


def test_formats_and_registry_are_set_and_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic's format and the registry's properties come from the file; its password from a file, never shown."""
    secret = tmp_path / "secret"
    secret.write_text("acme:hush")
    monkeypatch.setenv("STEPWIRE_REGISTRY__BASIC_AUTH_USER_INFO_FILE", str(secret))
    (tmp_path / "stepwire.toml").write_text(
        '[topics."support.tickets"]\nformat = "avro"\n[registry]\nurl = "http://127.0.0.1:1"\n'
    )
    loaded = load_with_sources(tmp_path)
    assert loaded.values.topics == {"support.tickets": "avro"}
    assert "acme:hush" in secrets(loaded.values)
    shown = {setting.name: setting.value for setting in loaded.shown()}
    assert shown["topics.support.tickets"] == "avro" and shown["registry.url"] == "http://127.0.0.1:1"
    assert "hush" not in str(shown) and "hush" not in repr(loaded.values)


@pytest.mark.parametrize("text", ['[topics."a.b"]\nformat = "xml"\n', '[topics."a.b"]\nfromat = "avro"\n'])
def test_a_format_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """A format or a setting of a topic that does not exist is refused, with the name of the topic."""
    (tmp_path / "stepwire.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"topics|a\.b"):
        load_with_sources(tmp_path)
