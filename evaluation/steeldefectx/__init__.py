"""SteelDefectX (arXiv 2603.21824): attributes and tasks."""
