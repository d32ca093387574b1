"""From signatures to a checked graph: what meets whom, and who owes what. Pure."""
