"""`stepwire config`: what holds, masked, and where each value comes from."""

from __future__ import annotations

from stepwire_handlers.cli.target import AsJson, BusUrl, echo_json, execute, table


def command(bus: BusUrl = None, json: AsJson = False) -> None:
    """Print the effective settings and their sources: flag > environment > stepwire.toml > default."""

    async def main() -> int:
        from dataclasses import asdict

        from stepwire_handlers.configuration import load_with_sources

        loaded = load_with_sources(bus=bus)
        rows = []
        for name, value in loaded.values:
            if name == "worker":
                rows += [
                    (f"worker.{key}", each, loaded.sources.get(name, "default")) for key, each in asdict(value).items()
                ]
            else:
                rows.append((name, value, loaded.sources.get(name, "default")))  # a secret shows itself as stars
        if json:
            echo_json({name: {"value": value if isinstance(value, int | float | None) else str(value), "source": source}
                       for name, value, source in rows})  # fmt: skip
        else:
            table("settings", ("setting", "value", "source"), rows)
        return 0

    execute(main)
