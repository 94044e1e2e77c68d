"""Shards: the unit of resume, retry and quarantine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import pyarrow as pa

from millsight.platform import storage
from millsight.platform.catalog.sample import Quarantined, Sample
from millsight.platform.stages import Stage, StageOutput

QUARANTINE_KEY = b"millsight.quarantined"


@dataclass(frozen=True, slots=True)
class Shard:
    """Some samples that land together.

    Attributes:
        id: 16 hex digits over the samples' ids and addresses.
        samples: In catalog order.
    """

    id: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class FailedShard:
    """A shard that was given up, with its last error."""

    shard_id: str
    attempts: int
    error: str


def make_shards(samples: Sequence[Sample], size: int = 128) -> list[Shard]:
    """Cut samples into shards of at most ``size``, in order."""
    chunks = [tuple(samples[start : start + size]) for start in range(0, len(samples), size)]
    return [Shard(_shard_id(chunk), chunk) for chunk in chunks]


def _shard_id(samples: Sequence[Sample]) -> str:
    text = "\n".join(f"{sample.id} {sample.uri}" for sample in samples)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ShardStore:
    """The landed shards of one run, each a Parquet file written atomically.

    Rows and quarantined pictures of a shard land in one file, so that a shard has either landed or
    it has not.

    Args:
        directory: Usually ``<artifact>.partial``; any fsspec address that all workers can reach.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory.rstrip("/")

    def landed(self) -> set[str]:
        """Ids of the shards that need not be computed again."""
        fs, path = storage.filesystem(f"{self.directory}/shards")
        if not fs.exists(path):
            return set()
        names = (str(name).rsplit("/", 1)[-1] for name in fs.ls(path, detail=False))
        return {name.removesuffix(".parquet") for name in names if name.endswith(".parquet")}

    def land(self, shard_id: str, output: StageOutput) -> None:
        """Write one shard's result; also withdraws an earlier failure of it."""
        quarantined = json.dumps([asdict(item) for item in output.quarantined])
        metadata = {**(output.rows.schema.metadata or {}), QUARANTINE_KEY: quarantined.encode()}
        storage.write_table(
            f"{self.directory}/shards/{shard_id}.parquet",
            output.rows.replace_schema_metadata(metadata),
        )
        fs, failure = storage.filesystem(f"{self.directory}/failed/{shard_id}.json")
        if fs.exists(failure):
            fs.rm(failure)

    def fail(self, failed: FailedShard) -> None:
        """Record a shard that was given up, so that a person can read why."""
        text = json.dumps(asdict(failed), indent=2)
        storage.write_bytes(f"{self.directory}/failed/{failed.shard_id}.json", text.encode())

    def read(self, shard_id: str) -> StageOutput:
        """Read one landed shard."""
        rows = storage.read_table(f"{self.directory}/shards/{shard_id}.parquet")
        found = json.loads(rows.schema.metadata[QUARANTINE_KEY])
        return StageOutput(
            rows.replace_schema_metadata(None), tuple(Quarantined(**item) for item in found)
        )

    def merge(self, shards: Sequence[Shard]) -> StageOutput:
        """Join landed shards in the given order, whatever order they landed in."""
        outputs = [self.read(shard.id) for shard in shards]
        quarantined = tuple(item for output in outputs for item in output.quarantined)
        return StageOutput(pa.concat_tables([output.rows for output in outputs]), quarantined)


def run_shard(stage: Stage, shard: Shard) -> StageOutput:
    """Compute one shard on a stage that is set up; the next batch loads while one computes."""
    batches = [
        shard.samples[start : start + stage.batch_size]
        for start in range(0, len(shard.samples), stage.batch_size)
    ]
    outputs = [stage.process(loaded) for loaded in _load_ahead(stage, batches)]
    return StageOutput(
        pa.concat_tables([output.rows for output in outputs]),
        tuple(item for output in outputs for item in output.quarantined),
    )


def _load_ahead(stage: Stage, batches: Sequence[Sequence[Sample]]) -> Iterator[object]:
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(stage.load, batches[0])
        for batch in batches[1:]:
            loaded, ahead = ahead.result(), reader.submit(stage.load, batch)
            yield loaded
        yield ahead.result()
