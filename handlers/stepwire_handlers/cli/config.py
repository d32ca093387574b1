"""`stepwire config`: what holds, masked, and where each value comes from."""

from __future__ import annotations

from stepwire_handlers.cli.target import AsJson, BusUrl, echo_json, execute, table


def command(bus: BusUrl = None, json: AsJson = False) -> None:
    """Print the effective settings and their sources: flag > environment > stepwire.toml > default."""

    async def main() -> int:
        from stepwire_handlers.configuration import load_with_sources

        settings = load_with_sources(bus=bus).shown()
        if json:
            echo_json({name: {"value": value, "source": source} for name, value, source in settings})
        else:
            table("settings", ("setting", "value", "source"), [tuple(setting) for setting in settings])
        return 0

    execute(main)
