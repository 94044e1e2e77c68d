from setuptools import find_namespace_packages, setup

ROOMS = ("platform", "evaluation", "pretraining", "generators", "recipes")

# The import package is `millsight`; its rooms are top-level folders. setuptools wants every
# sub-package named once the folders are mapped, so the list is computed by rule.
setup(
    packages=[
        f"millsight.{name}"
        for room in ROOMS
        for name in find_namespace_packages(include=[room, f"{room}.*"])
    ]
)
