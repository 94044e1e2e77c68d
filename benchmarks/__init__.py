"""Side-by-side measurements against peers; each prints one JSON object with --json."""
