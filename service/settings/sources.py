"""Where settings come from: the environment, or a TOML file that it names."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from service.settings.rules import refuse_unknown_variables


class SourcedSettings(BaseSettings):
    """Settings from arguments, MITOSCAN_* variables and the TOML file of MITOSCAN_CONFIG; the former win."""

    @classmethod
    def settings_customise_sources(  # noqa: D102 -- documented by pydantic-settings
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        refuse_unknown_variables(os.environ, settings_cls.model_fields)
        del dotenv_settings, file_secret_settings  # A stray .env file must not change the settings of a server.
        config = os.environ.get("MITOSCAN_CONFIG")
        if config and not Path(config).is_file():  # Ignoring it would run a server with settings that nobody chose.
            raise FileNotFoundError(f"MITOSCAN_CONFIG names {config}, which is not a file")
        try:
            toml = TomlConfigSettingsSource(settings_cls, config)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{config} is not TOML: {error}") from error
        return init_settings, env_settings, toml

    def to_environment(self) -> dict[str, str]:
        """The environment variables that reproduce these settings."""
        values = self.model_dump(mode="json", exclude_none=True).items()
        return {
            f"MITOSCAN_{name.upper()}": value if isinstance(value, str) else json.dumps(value) for name, value in values
        }
