"""Stand-ins: what the shipped flows talk to where there is no Slack, no Gmail and no database.

`python -m stepwire_handlers.standins --folder DIR` serves both web APIs on this machine and keeps what they
are given as files that a person can open; `database.start` runs a real PostgreSQL. Nothing leaves the machine.
"""
