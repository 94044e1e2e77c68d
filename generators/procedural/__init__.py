"""Procedural steel: seeded pictures of metal with exact labels and text."""

from millsight.generators.procedural.dataset import write_dataset
from millsight.generators.procedural.defects import DEFECTS
from millsight.generators.procedural.render import render, render_pair
from millsight.generators.procedural.rendering import Rendering
from millsight.generators.procedural.surfaces import SURFACES

__all__ = ["DEFECTS", "SURFACES", "Rendering", "render", "render_pair", "write_dataset"]
