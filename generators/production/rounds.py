"""Rounds of requests, answered in shards and judged in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

from millsight.generators.filters.collection import Collection
from millsight.generators.production.rows import from_row
from millsight.generators.production.stage import as_sample
from millsight.generators.samples import Generated, SampleSpec
from millsight.platform.shards import Shard, ShardStore, make_shards

# Lands shards and gives them back in their order, each as soon as it has landed.
Answer = Callable[[Sequence[Shard]], Iterable[Shard]]


def judged(
    collection: Collection, answer: Answer, store: ShardStore, shard_size: int
) -> Generator[tuple[Shard, list[Generated]]]:
    """Yield every shard of samples that were tried, with their verdicts, until the set is done.

    Args:
        collection: What is wanted, and who judges it.
        answer: Who makes it.
        store: Where the shards land; those that have landed before are judged anew all the same.
        shard_size: Requests that land together.
    """
    while requests := collection.round():
        shards = make_shards([as_sample(request) for request in requests], shard_size)
        for shard in answer(shards):
            yield shard, collection.judge(read_shard(store, shard.id, collection.spec))


def read_shard(store: ShardStore, shard_id: str, spec: SampleSpec) -> list[Generated]:
    """Read a landed shard's samples, without verdicts."""
    return [from_row(row, spec) for row in store.read(shard_id).rows.to_pylist()]
