from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from millsight.platform import config
from millsight.platform.errors import UserError


@dataclass(frozen=True)
class Method:
    layers: int = 4
    precision: Literal["fp32", "fp16"] = "fp32"
    augment: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise UserError(f"layers: {self.layers}; at least 1 is needed")


@dataclass(kw_only=True)
class Settings:
    """What to do.

    Attributes:
        data: Where it lies.
        output: Where to.
        names: Several.
        method: How.
        labels: Some of them; by default all.
    """

    data: str
    output: str | None = None
    names: list[str] = field(default_factory=list)
    method: Method = field(default_factory=Method)
    labels: list[str] | None = None


def parse(*argv: str) -> Settings:
    parser = config.build_parser(Settings, prog="test", description="")
    parsed = config.parse(parser, Settings, argv)
    assert isinstance(parsed, Settings)
    return parsed


def test_flags_files_and_defaults_in_their_order(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("data: a\nmethod:\n  layers: 2\n  augment: [hflip]\n")
    parsed = parse("--config", str(file), "--method.layers=3")
    assert parsed == Settings(data="a", method=Method(layers=3, augment=("hflip",)))


def test_all_problems_of_files_and_flags_come_at_once(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("method:\n  layres: 2\n  precision: fp8\noutput: [1]\n")
    with pytest.raises(UserError) as caught:
        parse("--config", str(file), "--method.layers", "many", "--metod.layers=3", "--nams", "x")
    lines = str(caught.value).splitlines()
    expected = [
        f"{file}: method.layres: no such setting; did you mean method.layers?",
        f"{file}: method.precision: 'fp8' does not fit",
        f"{file}: output: [1] does not fit",
        "--method.layers: 'many' does not fit",
        "--metod.layers: no such setting; did you mean method.layers?",
        "--nams: no such setting; did you mean names?",
        "--data: required",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_a_file_that_is_missing_or_no_mapping_is_named(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    for name, words in (("list", "must hold keys"), ("broken", "not readable"), ("no", "no such")):
        with pytest.raises(UserError, match=f"{words}") as caught:
            parse("--data=x", f"--config={tmp_path / name}.yaml")
        assert f"{name}.yaml" in str(caught.value)


def test_printed_config_read_back_is_the_same(tmp_path, capsys):
    argv = ["--data", "2024", "--method.augment", "hflip", "--method.layers=7"]
    with pytest.raises(SystemExit) as stop:
        parse(*argv, "--print_config")
    assert stop.value.code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    assert parse("--config", str(file)) == parse(*argv)
    assert parse("--config", str(file)).method == Method(7, augment=("hflip",))


@pytest.mark.parametrize(
    ("words", "output"), [("2024", "2024"), ("null", None), ("yes", "yes"), ("a: b", "a: b")]
)
def test_a_string_may_look_like_something_else(words, output):
    assert parse("--data", "12", "--output", words) == Settings(data="12", output=output)


def test_a_repeated_list_flag_adds_up():
    parsed = parse("--names", "a.k=1", "--data=x", "--names=b: c", "--names", "[d, e]")
    assert parsed.names == ["a.k=1", "b: c", "d", "e"]
    assert parse("--data=x", "--names", "a", "--names+", "b", "--names+=c").names == ["a", "b", "c"]


def test_a_list_that_may_be_left_out_takes_one_word_too():
    assert parse("--data=x", "--labels", "pit").labels == ["pit"]
    assert parse("--data=x", "--labels", "pit", "--labels=[dent]").labels == ["pit", "dent"]
    assert parse("--data=x", "--labels", "null").labels is None


def test_a_group_is_set_whole_or_named():
    parsed = parse("--data=x", "--method", "{layers: 2, precision: fp16}")
    assert parsed.method == Method(2, "fp16")
    assert config.problems_of(Settings, {"data": "x", "method": 3}, "step.") == [
        "step.method: is a group; set one of method.layers, method.precision, method.augment"
    ]


def test_from_mapping_checks_what_the_dataclass_checks():
    assert config.from_mapping(Settings, {"data": "x", "method.layers": 2}, "step") == Settings(
        data="x", method=Method(layers=2)
    )
    with pytest.raises(UserError, match=r"step\.layers: 0; at least 1"):
        config.from_mapping(Settings, {"data": "x", "method.layers": 0}, "step")
    with pytest.raises(UserError, match=r"step\.data: required"):
        config.from_mapping(Settings, {}, "step")
