"""The floor both HTTP services stand on: jobs, tokens, problems, limits, uploads, metrics."""
