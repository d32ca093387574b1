"""What a worker needs besides its bus: the blob store, a model, the key that signs decisions.

In: an app, its configuration, what workers told. Out: lines. The blob store is entered as a worker enters it; no
model is asked.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from stepwire import App
from stepwire.errors import StepwireError
from stepwire_handlers.blobs.address import blob_store
from stepwire_handlers.configuration import KAFKA, Configuration, shown
from stepwire_handlers.doctor.line import Line, failed, note, ok
from stepwire_handlers.services.signing import Signing, key_of, weakness

PATIENCE = 15.0  #: seconds for a store on the network
BLOBS, MODEL, DECISIONS = "blob store", "model", "decisions"
FILE = ": STEPWIRE_DECISION_KEY_FILE names a file with it"


async def surroundings(app: App, values: Configuration) -> list[Line]:
    """Blob store and model."""
    found = [await _blobs(values)]
    if any(type(resource).__name__ == "Claude" for resource in app.resources):
        found.append(_model())
    return found


async def _blobs(values: Configuration) -> Line:
    where = shown(values.blobs)
    try:
        async with asyncio.timeout(PATIENCE), blob_store(values.blobs):
            if values.bus.startswith(KAFKA) and "://" not in values.blobs and not Path(values.blobs).is_absolute():
                here = f"{where} is in the folder that this process was started in, and others may be started elsewhere"
                return note(
                    BLOBS, here, "set STEPWIRE_BLOBS to an absolute path that all share, or to s3://bucket/prefix"
                )
            return ok(BLOBS, f"{where} takes files")
    except TimeoutError:
        return failed(BLOBS, f"{where} did not answer in {PATIENCE:g} s", "look at the address in STEPWIRE_BLOBS")
    except (StepwireError, OSError) as error:
        return failed(BLOBS, str(error), "set STEPWIRE_BLOBS to a place that may be written")


def _model() -> Line:
    if os.environ.get("ANTHROPIC_BASE_URL"):
        return ok(MODEL, "ANTHROPIC_BASE_URL names a server")
    if os.environ.get("ANTHROPIC_API_KEY"):
        return ok(MODEL, "ANTHROPIC_API_KEY is set")
    return note(
        MODEL, "neither ANTHROPIC_API_KEY nor ANTHROPIC_BASE_URL is set",
        "set one; without, a worker uses another login of the SDK or the offline model, or refuses to start",
    )  # fmt: skip


def decisions(app: App, values: Configuration, told: Signing | None) -> list[Line]:
    """Which decisions count, and whether those made here do. `told`: by the workers; None: they could not be asked."""
    if not any(part.decision for handler in app.runnable for part in handler.signature.parts):
        return []
    if told and told.refusal:
        so = "what is decided here is thrown away, and a worker that starts here takes others than they do"
        return [note(DECISIONS, f"{told.refusal}: {so}", "give theirs here too" + FILE)]
    if weak := weakness(key_of(values)):
        what, _, cure = weak.partition(". ")
        return [note(DECISIONS, what, cure)]
    signed, no_key = "gates take signed decisions only", "there is no STEPWIRE_DECISION_KEY here"
    if values.decision_key is not None:
        return [ok(DECISIONS, signed if told and told.asked is not None else f"with the key that is here {signed}")]
    if told is None:
        return [
            note(DECISIONS, f"{no_key}, and whether {signed} could not be asked", "give the workers' here too" + FILE)
        ]
    return [note(DECISIONS, "gates take decisions that nobody signed", "make a key for workers and deciders" + FILE)]
