"""The HTTP door: events in, runs out, and what a person decides.

`application` puts the routes together, `process` runs them. Each noun has its file: `access` and `identity` (who may do
what), `tokens` (JWT), `bodies` (bounded reading), `events` (CloudEvents), `uploads` (plain JSON and files), `intake`
(what becomes of either), `idempotency`, `runs` and `stream`, `decisions` (gates, dead letters), `problems`, `openapi`.
"""
