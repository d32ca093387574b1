"""One delivery, from fetch to forget: the numbered steps of DESIGN §4."""
