"""Write all dashboards into the chart: `python -m helm.grafana.write`, part of `make docs`."""

from __future__ import annotations

from pathlib import Path

from helm.grafana import app, doors, kafka, models, overview
from helm.grafana.panels import encoded

FOLDER = Path(__file__).parents[1] / "stepwire" / "dashboards"
PAGES = {page.name: page for page in (overview.PAGE, app.PAGE, doors.PAGE, models.PAGE, kafka.PAGE)}


def files() -> dict[Path, str]:
    """Every file and what must be in it."""
    return {FOLDER / f"{name}.json": encoded(page) for name, page in PAGES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, "utf-8")
