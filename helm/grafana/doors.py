"""What comes in by the door and what people do: over HTTP, in the console, by tools."""

from __future__ import annotations

from helm.grafana.panels import HERE, Page, Panel, Query, Row

REQUESTS = "stepwire_ingress_requests_total"
SECONDS = "stepwire_ingress_request_duration_seconds"
CONSOLE = "stepwire_console_requests_total"
OF_APP = f'{HERE}, app=~"$app"'
FAILED = 'code=~"5.."'


def _rate(metric: str, by: str, *where: str) -> str:
    """Something a second, over all doors or consoles of the chosen namespaces; they run for several apps at once."""
    return f"sum by ({by}) (rate({metric}{{{', '.join((HERE, *where))}}}[$__rate_interval]))"


def _quantile(of: float, by: str) -> str:
    return f"histogram_quantile({of:g}, {_rate(f'{SECONDS}_bucket', f'le, {by}' if by else 'le')})"


PAGE = Page(
    "doors",
    "Stepwire: doors",
    "Requests to the HTTP door, events and decisions that it took, streams; pages and logins of the console; tools.",
    [
        Row("Now", [
            Panel("Doors", "short", [Query(f"count(stepwire_door_build_info{{{HERE}}})")], "Pods that answer.", 4,
                  single=True),
            Panel("Requests", "ops", [Query(_rate(REQUESTS, ""))], "A second, refused ones too.", 4, single=True),
            Panel("Failed", "percentunit",
                  [Query(f"({_rate(REQUESTS, '', FAILED)} or vector(0)) / ({_rate(REQUESTS, '')} > 0) or vector(0)")],
                  "Answered with 5xx: what the door, or the bus behind it, is to blame for.", 4, single=True),
            Panel("p99", "s", [Query(_quantile(0.99, ""))],
                  "To the beginning of an answer. Who asks to wait (`Prefer: wait`) counts too.", 4, single=True),
            Panel("Events", "short",
                  [Query(f'sum(increase(stepwire_ingress_events_total{{{OF_APP}, outcome="published"}}[$__range]))')],
                  "Taken in the time shown; each was written before it was acknowledged.", 4, single=True),
            Panel("Open streams", "short", [Query(f"sum(stepwire_ingress_sse_connections{{{HERE}}})")],
                  "People and programs that follow a run.", 4, single=True),
        ]),
        Row("Requests", [
            Panel("By answer", "ops", [Query(_rate(REQUESTS, "code"), "{{code}}")],
                  "4xx is the caller's doing (401 no key, 422 no such event, 429 too many), 5xx is ours.", 12),
            Panel("By route", "ops", [Query(_rate(REQUESTS, "method, route"), "{{method}} {{route}}")],
                  "`other` is an address that there is not.", 12),
            Panel("Failed, by route", "ops",
                  [Query(_rate(REQUESTS, "route, code", FAILED), "{{route}}: {{code}}")],
                  "503: the bus does not answer, or too much is open. 500: our fault; the log has its instance.", 12),
            Panel("Time to the answer", "s", [Query(_quantile(of, "route"), f"p{of * 100:g} {{{{route}}}}")
                                              for of in (0.5, 0.99)],
                  "By route. POST /events is as slow as the bus's commit.", 12),
        ]),
        Row("What came in", [
            Panel("Events", "ops",
                  [Query(f"sum by (app, outcome) (rate(stepwire_ingress_events_total{{{OF_APP}}}[$__rate_interval]))",
                         "{{app}}: {{outcome}}")],
                  "`repeated`: the event was there before; its caller was told of the same run.", 6),
            Panel("Decisions", "short",
                  [Query(f"sum by (app, decision) "
                         f"(increase(stepwire_ingress_decisions_total{{{OF_APP}}}[$__rate_interval]))",
                         "{{app}}: {{decision}}")],
                  "Gates decided, dead letters replayed or dropped, over HTTP.", 6),
            Panel("Open streams", "short", [Query(f"sum by (pod) (stepwire_ingress_sse_connections{{{HERE}}})",
                                                  "{{pod}}")],
                  "By door. At its limit a door answers 503.", 6),
            Panel("Releases", "short",
                  [Query(f"count by (version) (stepwire_door_build_info{{{HERE}}})", "{{version}}")],
                  "Doors of each release: two lines while one is rolled out.", 6),
        ]),
        Row("Console", [
            Panel("Pages by answer", "ops", [Query(_rate(CONSOLE, "code"), "{{code}}")],
                  "303 leads on: to log in, or after a deed.", 6),
            Panel("Pages by route", "ops", [Query(_rate(CONSOLE, "method, route"), "{{method}} {{route}}")],
                  "What people look at, and do.", 6),
            Panel("Logins", "short",
                  [Query(f"sum by (outcome) (increase(stepwire_console_logins_total{{{HERE}}}[$__rate_interval]))",
                         "{{outcome}}")],
                  "Many `refused` or `slowed`: somebody guesses keys.", 6),
            Panel("Releases", "short",
                  [Query(f"count by (version) (stepwire_console_build_info{{{HERE}}})", "{{version}}")],
                  "Consoles of each release that answer.", 6),
        ]),
        Row("MCP servers", [
            Panel("Events", "ops",
                  [Query(f"sum by (app, outcome) (rate(stepwire_mcp_events_total{{{OF_APP}}}[$__rate_interval]))",
                         "{{app}}: {{outcome}}")],
                  "By which tools began runs; none of them is among the events of the doors.", 12),
            Panel("Releases", "short",
                  [Query(f"count by (version) (stepwire_mcp_build_info{{{HERE}}})", "{{version}}")],
                  "MCP servers of each release that answer; they are no doors.", 12),
        ]),
    ],
)  # fmt: skip
