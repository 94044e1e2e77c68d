"""The generation service: synthetic sets on demand, looked at and picked over as they come."""
