"""What attention distillation adds to a training step, and whether its pictures arrive in time.

``python -m benchmarks.agbp --json`` prints, from one run:

- ``distill_step_overhead``: time of a distilled step over that of the same task alone, minus 1. The
  task alone is a plain loop over timm's own network, with the same frozen stages, pictures and
  optimizer; both steps include the optimizer's. Median over rounds of each round's ratio.
- ``moco_step_overhead``, ``simmim_step_overhead``: the same against the task's own step.
- ``input_pictures_per_second`` beside ``step_pictures_per_second``: how fast one loader decodes,
  crops and relights pictures of 256 x 256 pixels with their maps, and how fast a step takes them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.kead import alternate, ratio
from millsight.evaluation.anomaly_maps import AnomalyMap
from millsight.platform.weights import load_weights
from millsight.pretraining.backbone.config import BackboneConfig, TaskName
from millsight.pretraining.backbone.distillation import distillation_loss
from millsight.pretraining.backbone.module import BackboneModule, build_module
from millsight.pretraining.backbone.pictures import MappedPictures, collate
from millsight.pretraining.backbone.tasks import Views

CATEGORIES = ("cast", "rolled")
WEIGHT = 0.5
SIDE = 256


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--backbone", default="random:timm:resnet50?seed=0")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="side of the views, pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result = measure(arguments)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32} {value}")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the overheads, the two rates and what they were measured on."""
    result: dict[str, Any] = {}
    tasks: tuple[TaskName, ...] = ("classification", "moco", "simmim")
    for task in tasks:
        times = alternate(steps(task, arguments), arguments.rounds)
        name = "distill" if task == "classification" else task
        result[f"{name}_step_overhead"] = round(ratio(times, "distilled", "alone") - 1, 4)
        if task == "classification":
            seconds = statistics.median(times["distilled"])
            result["step_pictures_per_second"] = round(arguments.batch / seconds, 1)
    result["input_pictures_per_second"] = round(input_rate(arguments), 1)
    given = ("backbone", "batch", "size", "rounds", "threads", "device")
    return result | {name: getattr(arguments, name) for name in given}


def steps(task: TaskName, arguments: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """Return one step of the task alone and one with distillation, on the same batch."""
    config = BackboneConfig(task=task, image_size=arguments.size)
    modules = [
        build_module(load_weights(arguments.backbone), config, len(CATEGORIES)) for _ in range(2)
    ]
    batch = views(arguments, modules[0].task.n_views)
    plain, distilled = modules
    alone = plain_classification if task == "classification" else plain_task
    losses = {"alone": (plain, alone), "distilled": (distilled, with_maps)}
    return {
        name: step(module.to(arguments.device), loss, batch)
        for name, (module, loss) in losses.items()
    }


def step(
    module: BackboneModule, loss: Callable[[BackboneModule, Views], torch.Tensor], batch: Views
) -> Callable[[], None]:
    """Close over a whole training step."""
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def run() -> None:
        optimizer.zero_grad()
        loss(module, batch).backward()
        optimizer.step()
        if batch.pictures.is_cuda:
            torch.cuda.synchronize()

    return run


def plain_classification(module: BackboneModule, batch: Views) -> torch.Tensor:
    """Classify as a plain timm loop does: no stage is looked at."""
    backbone = module.task.backbone
    pictures = (batch.pictures[:, 0] - backbone.mean) / backbone.std
    logits: torch.Tensor = backbone.network(pictures)
    return F.cross_entropy(logits, batch.targets)


def plain_task(module: BackboneModule, batch: Views) -> torch.Tensor:
    """Take the task's own loss."""
    loss: torch.Tensor = module.task(batch).loss
    return loss


def with_maps(module: BackboneModule, batch: Views) -> torch.Tensor:
    """Add the distillation as the module does."""
    output = module.task(batch)
    distillation = distillation_loss(output.stages, output.maps, module.form)
    return cast(torch.Tensor, output.loss + WEIGHT * distillation)


def views(arguments: argparse.Namespace, n_views: int) -> Views:
    """Make a random batch."""
    generator = torch.Generator().manual_seed(0)
    shape = (arguments.batch, n_views)
    pictures = torch.rand(*shape, 3, arguments.size, arguments.size, generator=generator)
    maps = torch.rand(*shape, 1, arguments.size, arguments.size, generator=generator)
    targets = torch.arange(arguments.batch) % len(CATEGORIES)
    return Views(*(part.to(arguments.device) for part in (pictures, maps, targets)))


def input_rate(arguments: argparse.Namespace, count: int = 256) -> float:
    """Pictures per second of one loader without worker processes, from files."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        maps = []
        for number in range(count):
            path = Path(folder) / f"{number}.jpg"
            noise = rng.normal(128, 30, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noise).save(path)
            grid = rng.random((16, 16)).astype(np.float16)
            category = CATEGORIES[number % len(CATEGORIES)]
            maps.append(AnomalyMap(path.stem, str(path), category, 1, None, SIDE, SIDE, grid))
        data = MappedPictures(maps, CATEGORIES, size=arguments.size, n_views=1)
        keys: Any = [(0, number) for number in range(count)]
        loader = DataLoader(data, arguments.batch, sampler=keys, collate_fn=collate)
        start = time.perf_counter()
        for _ in loader:
            pass
        return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
