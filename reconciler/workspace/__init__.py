"""What a run needs on the host before it starts: today the contents of its `files:`."""
