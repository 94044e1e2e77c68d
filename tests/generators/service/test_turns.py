"""Whose shard is next."""

from __future__ import annotations

from typing import Any, cast

from millsight.generators.service.turns import PATIENCE, Order, Ticket, Turns
from millsight.platform.shards import Shard


def tickets(order: str, count: int, affinity: str = "") -> list[Ticket]:
    made = Order(order, cast("Any", None), "", affinity)
    return [Ticket(made, Shard(f"{order}{number}", ())) for number in range(count)]


def taken(turns: Turns, count: int, *loaded: str) -> str:
    found = [turns.take(loaded) for _ in range(count)]
    return " ".join(ticket.shard.id for ticket in found if ticket is not None)


def test_sets_take_turns_in_their_own_order():
    turns = Turns()
    turns.add(tickets("a", 3))
    turns.add(tickets("b", 2))
    assert taken(turns, 6) == "a0 b0 a1 b1 a2"
    assert len(turns) == 0


def test_a_set_that_comes_back_for_another_round_is_not_first_again():
    turns = Turns()
    turns.add(tickets("b", 3))
    found = []
    for _ in range(2):
        turns.add(tickets("a", 1))
        found.append(taken(turns, 2))
        turns.drop("a")
    assert found == ["b0 a0", "b1 a0"]


def test_the_adapter_at_hand_goes_first_then_the_base_at_hand():
    turns = Turns()
    turns.add(tickets("other", 1, "y|"))
    turns.add(tickets("base", 1, "x|p"))
    turns.add(tickets("adapter", 2, "x|q"))
    assert taken(turns, 4, "x|", "x|q") == "adapter0 adapter1 base0 other0"


def test_nobody_is_passed_over_for_ever():
    turns = Turns()
    turns.add(tickets("b", 1, "y|"))
    turns.add(tickets("a", 3 * PATIENCE, "x|"))
    found = taken(turns, 2 * PATIENCE, "x|").split()
    assert found.index("b0") == PATIENCE


def test_a_ticket_put_back_is_the_next_of_its_set_unless_that_is_gone():
    turns = Turns()
    turns.add(tickets("a", 2))
    turns.add(tickets("b", 2))
    first = turns.take(())
    assert first is not None
    turns.put_back(first)
    assert taken(turns, 2) == "b0 a0"
    turns.drop("a")
    turns.put_back(first)
    assert taken(turns, 2) == "b1"
