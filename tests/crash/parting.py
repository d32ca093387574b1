"""A program that writes a file when its process ends in order, as databases and folders of ours are cleaned up."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path

if __name__ == "__main__":
    atexit.register(Path(sys.argv[1]).write_text, "gone")
    sys.exit(3)
