"""Clients of the bus beside the worker: who follows runs, decides, replays, and is asked whether all is well."""
