"""Flows that come with Stepwire: each a whole workflow on real input, and the documentation by example."""
