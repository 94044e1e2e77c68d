"""What a dataset holds: pictures known by content, read from any layout, split, checked."""
