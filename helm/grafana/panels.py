"""What our dashboards are built of: a query, a chart, a number, a page.

In: names of metrics that `telemetry/metrics.py` has. Out: Grafana's JSON, the same bytes each time.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${source}")
WIDTH = 24  #: columns of Grafana's grid
#: of every query: what lies in the chosen namespaces; `.*` also finds series without one, outside of Kubernetes
HERE = 'namespace=~"$namespace"'
#: after a query: only series of workers of the chosen apps, for metrics that carry no group
OF_APP = f'and on (job, instance) stepwire_build_info{{{HERE}, app=~"$app"}}'


class Query(NamedTuple):
    """An expression of PromQL, and the legend of its series."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel: what it shows, and why somebody looks at it."""

    title: str
    unit: str
    queries: Sequence[Query]
    about: str
    width: int = 8
    single: bool = False  #: a number, not a line over time
    height: int = 7


class Row(NamedTuple):
    """Panels under a heading; `repeat`: once for each value of a variable."""

    title: str
    panels: Sequence[Panel]
    repeat: str = ""


class Page(NamedTuple):
    """A dashboard."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    variables: Sequence[tuple[str, str]] = ()  #: (name, query) beside namespace and app


def rate(metric: str, by: str, *where: str) -> str:
    """Events a second, by some labels, of the chosen apps."""
    return f"sum by ({by}) (rate({metric}{{{', '.join((HERE, *where))}}}[$__rate_interval]) {OF_APP})"


def quantile(of: float, metric: str, by: str, *where: str) -> str:
    """A quantile of a histogram, by some labels, of the chosen apps."""
    return f"histogram_quantile({of:g}, {rate(f'{metric}_bucket', f'le, {by}' if by else 'le', *where)})"


def quantiles(metric: str, *where: str) -> list[Query]:
    """The three that people ask for."""
    return [Query(quantile(of, metric, "", *where), f"p{of * 100:g}") for of in (0.5, 0.95, 0.99)]


def encoded(page: Page) -> str:
    """The dashboard as the file that Grafana imports."""
    builder = (
        dashboard.Dashboard(page.title)
        .uid(f"stepwire-{page.name}")
        .description(page.about)
        .tags(["stepwire"])
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Stepwire")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["stepwire"])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("source").label("source").type("prometheus"))
    )
    for name, query in (
        ("namespace", "label_values(stepwire_build_info, namespace)"),
        ("app", f"label_values(stepwire_build_info{{{HERE}}}, app)"),
        *page.variables,
    ):
        builder.with_variable(_variable(name, query))
    number = 0
    for row in page.rows:
        number += 1
        heading = dashboard.Row(row.title).id(number)
        builder.with_row(heading.repeat(row.repeat) if row.repeat else heading)
        for panel in row.panels:
            number += 1
            builder.with_panel((_number if panel.single else _chart)(panel).id(number))
    return JSONEncoder(sort_keys=True, indent=1).encode(builder.build()) + "\n"


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _targets(queries: Iterable[Query]) -> Iterable[prometheus.Dataquery]:
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        built = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter).range()
        yield built.exemplar(True) if "_bucket{" in query.expr else built


def _chart(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(panel.width)
        .height(panel.height)
        .fill_opacity(10)
        .show_points(kinds.VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(True).placement(kinds.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
    )
    for target in _targets(panel.queries):
        built.with_target(target)
    return built


def _number(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(kinds.BigValueGraphMode.AREA)
    )
    for target in _targets(panel.queries):
        built.with_target(target)
    return built
