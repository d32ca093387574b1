"""The table of the chart's values, by code: `make docs` writes it into the chart's README.md."""
