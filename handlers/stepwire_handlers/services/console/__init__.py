"""The console: runs, gates and dead letters as pages for people.

A command of its own and not a face of the door: the door is reached by machines and has no cookies, the console by
people behind a session. Both use the same identity, readers and decisions.
"""
