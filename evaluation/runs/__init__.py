"""``millsight evaluate``: runs judged, compared, reported and tracked."""
