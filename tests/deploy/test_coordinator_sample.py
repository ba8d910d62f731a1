"""The samples for production are what the programs read."""

from __future__ import annotations

import configparser
from pathlib import Path

from daemon.settings import load_coordinator_settings

SAMPLES = Path(__file__).parents[2] / "deploy" / "coordinator"


def test_the_coordinators_sample_is_read_as_it_stands() -> None:
    settings = load_coordinator_settings(SAMPLES / "coordinator.toml", {})
    assert settings.http is not None
    assert settings.http.trusted_proxies == ["127.0.0.1"]
    assert settings.http.public_url.startswith("https://")


def test_what_the_sample_leaves_out_can_be_put_in_as_it_is_written_there(tmp_path: Path) -> None:
    text = (SAMPLES / "coordinator.toml").read_text()
    commented = [line for line in text.splitlines() if line.startswith("# ") and " = " in line and "`" not in line]
    assert len(commented) == 5
    for line in commented:
        text = text.replace(line, line.removeprefix("# "))
    (tmp_path / "coordinator.toml").write_text(text)
    settings = load_coordinator_settings(tmp_path / "coordinator.toml", {"STRONGROOM_HTTP_PORT": "443"})
    assert settings.http is not None
    assert (settings.http.port, settings.http.tls_cert_file) == (443, "/etc/strongroom/fullchain.pem")


def test_the_service_starts_the_coordinator_with_the_sample() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(SAMPLES / "strongroom-coordinator.service")
    assert unit["Service"]["ExecStart"].endswith("strongroom daemon --config /etc/strongroom/coordinator.toml")
