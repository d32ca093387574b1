"""What models and tools cost in time and money."""

from __future__ import annotations

from helm.grafana.panels import HERE, OF_APP, Page, Panel, Query, Row, quantile, rate

CALLS = "gen_ai_client_operation_duration_seconds"
MODEL = 'gen_ai_request_model=~"$model"'
NAMED = "{{gen_ai_request_model}}"

PAGE = Page(
    "models",
    "Stepwire: models and tools",
    "Tokens, cost, speed and errors of models; calls of tools.",
    [
        Row("Models", [
            Panel("Cost", "currencyUSD",
                  [Query(f"sum(increase(stepwire_model_cost_usd_total{{{HERE}, {MODEL}}}[$__range]) {OF_APP})")],
                  "By our table of prices, in the time shown.", 6, single=True),
            Panel("Tokens", "short",
                  [Query(f"sum(increase(gen_ai_client_token_usage_sum{{{HERE}, {MODEL}}}[$__range]) {OF_APP})")],
                  "In the time shown.", 6, single=True),
            Panel("Calls", "ops", [Query(rate(f"{CALLS}_count", "", MODEL))], "A second.", 6, single=True),
            Panel("Refused", "percentunit",
                  [Query(f"{rate('stepwire_llm_rate_limited_total', '', MODEL)} / "
                         f"({rate(f'{CALLS}_count', '', MODEL)} > 0) or vector(0)")],
                  "Calls answered with 429 or 529.", 6, single=True),
            Panel("Calls by model", "ops", [Query(rate(f"{CALLS}_count", "gen_ai_request_model", MODEL), NAMED)],
                  "Each try counts."),
            Panel("Errors", "ops",
                  [Query(rate(f"{CALLS}_count", "gen_ai_request_model, error_type", MODEL, 'error_type!=""'),
                         f"{NAMED}: {{{{error_type}}}}")],
                  "Calls that were not answered, by the client library's name of the error."),
            Panel("Duration", "s", [
                Query(quantile(of, CALLS, "gen_ai_request_model", MODEL, 'error_type=""'), f"p{of * 100:g} {NAMED}")
                for of in (0.5, 0.95)
            ], "Calls that were answered."),
            Panel("Tokens", "short",
                  [Query(rate("gen_ai_client_token_usage_sum", "gen_ai_token_type", MODEL), "{{gen_ai_token_type}}")],
                  "A second, by kind. cache_read is the cheap one."),
            Panel("Cost by handler", "currencyUSD",
                  [Query(f"3600 * {rate('stepwire_model_cost_usd_total', 'handler', MODEL)}", "{{handler}}")],
                  "US dollars an hour."),
            Panel("Cost by model", "currencyUSD",
                  [Query(f"3600 * {rate('stepwire_model_cost_usd_total', 'gen_ai_request_model', MODEL)}", NAMED)],
                  "US dollars an hour."),
        ]),
        Row("Tools", [
            Panel("Calls", "ops",
                  [Query(rate("stepwire_tool_call_duration_seconds_count", "tool, outcome"), "{{tool}}: {{outcome}}")],
                  "By tool and what they came to.", 12),
            Panel("Duration", "s",
                  [Query(quantile(0.95, "stepwire_tool_call_duration_seconds", "server, tool"), "p95 {{tool}}")],
                  "Wall time of a call.", 12),
        ]),
    ],
    [("model", f"label_values({CALLS}_count{{{HERE}}}, gen_ai_request_model)")],
)  # fmt: skip
