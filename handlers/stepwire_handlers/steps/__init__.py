"""Steps: what a handler does beside reading and emitting events, such as asking a model."""
