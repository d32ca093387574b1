"""Speed and memory, ours and our peers', on the same work and machine; `python -m bench.run` starts it."""
