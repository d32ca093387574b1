"""Can this process do its job here? One line for each thing it needs, with the cure of what fails."""
