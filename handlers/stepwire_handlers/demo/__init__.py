"""The demo: a shipped flow on real input, with everything around it started and stopped."""
