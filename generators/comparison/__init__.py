"""Sets of synthetic pictures beside real ones: measured, and laid out to be looked at."""
