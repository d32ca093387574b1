"""Steps, policies, flows, services and the command line: everything outside the kernel."""
