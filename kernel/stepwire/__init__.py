"""Stepwire: workflow steps as stateless handlers on events; the types are the wiring."""
