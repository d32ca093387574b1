"""Grafana dashboards by code: `make docs` writes them into the chart.

Not in the wheel: who runs Stepwire needs the JSON alone, and Grafana's builders are for who changes it.
"""
