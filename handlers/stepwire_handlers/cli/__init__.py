"""The command line: noun and verb; stdout is data, stderr is progress and errors."""
