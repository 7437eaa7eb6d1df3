"""From a git repository or a plain directory to a Snapshot: which files one revision has, and their contents."""
