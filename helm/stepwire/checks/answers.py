"""Of `helm test`: does a server answer as it should? In: its URL, the status. Out: 0, or 1 and what it answered."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request


def main(url: str, wanted: str) -> None:
    """Ask once."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the chart writes it: http://
            status, said = answer.status, answer.read(2_000)
    except urllib.error.HTTPError as error:
        status, said = error.code, error.read(2_000)
    except OSError as error:
        sys.exit(f"{url} cannot be reached: {error}")
    if str(status) != wanted:
        sys.exit(f"{url} answered {status}, not {wanted}: {said.decode(errors='replace')}")
    sys.stdout.write(f"{url} answered {status}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
