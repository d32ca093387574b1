"""What `stepwire dev` is made of: a worker in a process of its own, started again at a change, and its timeline."""
