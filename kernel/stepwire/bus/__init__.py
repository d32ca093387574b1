"""Where topics live: one contract, two implementations."""
