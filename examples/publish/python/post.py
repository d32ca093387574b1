"""From the outbox to the HTTP door. Prints each row's id and the address of its run."""

import os
from urllib.request import Request, urlopen

from cloudevents.core.bindings.http import to_binary_event
from outbox import rows

DOOR = os.environ.get("DOOR", "http://127.0.0.1:8080")
KEY = os.environ.get("DOOR_KEY", "")


def main() -> None:
    """Raises HTTPError when the door refuses; sent again, an event is followed to the run that it began."""
    for _, event in rows():
        message = to_binary_event(event)
        request = Request(f"{DOOR}/events", message.body, {**message.headers, "X-API-Key": KEY})
        with urlopen(request, timeout=30) as answer:
            print(event.get_id(), answer.headers["Location"])


if __name__ == "__main__":
    main()
