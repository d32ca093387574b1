"""Policies: small decisions that have the handler's own type, such as a vote."""
