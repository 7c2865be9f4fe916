"""The configuration of the services: nothing is legal, mistakes are named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.services.deploy import DEFAULT_COMMAND
from aicfg_pipeline.services.reverted import Move
from aicfg_pipeline.services.settings import ServicesSettings, WebhookSettings


def test_nothing_configured_is_legal() -> None:
    assert ServicesSettings.load({}).lambdas is None


def test_what_is_configured_is_a_service(tmp_path: Path) -> None:
    settings = ServicesSettings.load({"deploy": {"directory": str(tmp_path)}, "lambdas": {"function_names": ["f"]}})
    assert settings.deploy is not None
    assert settings.deploy.service().command == DEFAULT_COMMAND
    assert settings.lambdas is not None
    assert settings.lambdas.service().function_names == ("f",)


def test_every_mistake_is_named_at_once_and_no_value_is_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        ServicesSettings.load(
            {
                "lambdas": {"function_names": []},
                "deploy": {"directory": "x", "command": "./x 'open", "timeout_seconds": -1},
                "endpoints": {"base_url": "https://x", "probes": [{"name": "a"}], "token": "s3cret-token"},
                "nonsense": {},
            }
        )
    assert {complaint.split(":")[0] for complaint in caught.value.complaints} == {
        "lambdas.function_names", "deploy.command", "deploy.timeout_seconds", "endpoints.probes.0.path",
        "endpoints.token", "nonsense",
    }  # fmt: skip
    assert "s3cret-token" not in str(caught.value)


def test_two_probes_of_one_name_are_refused() -> None:
    probe = {"name": "a", "path": "/a"}
    with pytest.raises(ConfigError, match="two probes have the same name: a"):
        ServicesSettings.load({"endpoints": {"base_url": "https://x", "probes": [probe, probe]}})


def test_the_settings_build_their_services(tmp_path: Path) -> None:
    settings = ServicesSettings.load(
        {
            "logs": {"log_groups": ["/aws/lambda/f"], "region": "eu-west-1"},
            "repository": {"path": str(tmp_path), "commit": "v1", "moves": [{"source": "a.old", "target": "a"}]},
            "endpoints": {
                "base_url": "https://api.example.com/",
                "probes": [{"name": "a", "path": "/orgs/{org_id}", "required": ["$.x"], "values": {"$.y": 1}}],
            },
        }
    )
    assert settings.logs is not None
    assert settings.logs.service().log_groups == ("/aws/lambda/f",)
    assert settings.repository is not None
    assert settings.repository.service().path == tmp_path
    assert settings.repository.file_moves == (Move("a.old", "a"),)
    assert settings.endpoints is not None
    assert settings.endpoints.service().base_url == "https://api.example.com"
    probe = settings.endpoints.probes[0].probe()
    assert (probe.method, probe.required, probe.values) == ("GET", ("$.x",), {"$.y": 1})


def test_a_webhook_without_its_variable_is_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AICFG_WEBHOOK_URL", raising=False)
    assert WebhookSettings().service() is None
    monkeypatch.setenv("AICFG_WEBHOOK_URL", "https://hooks.example.com/x")
    assert WebhookSettings().service() is not None
