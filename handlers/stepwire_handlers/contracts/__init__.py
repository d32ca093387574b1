"""Contracts: what an app takes and gives, as documents that others read, and what of it a release may not change.

`schema` makes JSON Schema of an event, `document` the AsyncAPI document of an app; `comparison` says which JSON that
fits one schema does not fit another; `changes` what a new document breaks and for whom; `release` finds the last one.
"""
