"""Settings are read as written, and whatever is wrong with one is said in one line that names it."""

from typing import Generic, TypeVar

import pytest
from pydantic import BaseModel, NonNegativeFloat

from vsbench.config import build_config, config_type, parse_settings
from vsbench.dataset import Dataset, DatasetConfig
from vsbench.errors import UsageError
from vsbench.method import MethodConfig


class Config(MethodConfig):
    lambda_nce: NonNegativeFloat = 1.0
    taps: tuple[int, ...] = (0, 4)


def refusal(**options: object) -> str:
    """What is said about options that cannot be."""
    with pytest.raises(UsageError) as caught:
        build_config(Config, options)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 0.0001),  # a string to YAML 1.1, which wants a dot
        ("1E3", 1000.0),
        ("-2.5e+1", -25.0),
        (".5", 0.5),
        ("16", 16),
        ("true", True),
        ("null", None),
        ("", None),
        ("cut", "cut"),
        ("'16'", "16"),  # quoted: a string to YAML, and to us
        ("1e", "1e"),
        ("[0, 4, 8]", [0, 4, 8]),
        ("[]", []),
        ("{size: 96}", {"size": 96}),
        ("{}", {}),
        ("{size: {width: 96}, taps: [0, 4]}", {"size": {"width": 96}, "taps": [0, 4]}),  # values that no set can hold
        ("{{split}: A}", "{{split}: A}"),
        ("a=b", "a=b"),
        ("{split}A", "{split}A"),  # no YAML, but a name of the data set "folder"
        (r"(\d+)_", r"(\d+)_"),
        ("[0, 4", "[0, 4"),
    ],
)
def test_values(text: str, value: object) -> None:
    parsed = parse_settings([f"key={text}"])["key"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_settings_keep_their_order_and_lose_the_space_around_their_names() -> None:
    assert list(parse_settings(["steps=2", " lr =1e-4", "crop_size= 64"]).items()) == [
        ("steps", 2),
        ("lr", 0.0001),
        ("crop_size", 64),
    ]
    assert parse_settings([]) == {}


@pytest.mark.parametrize("setting", ["lr", "=1", " =1", ""])
def test_what_is_no_setting_is_quoted(setting: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE") as caught:
        parse_settings(["steps=1", setting])
    assert repr(setting) in str(caught.value)


@pytest.mark.parametrize("second", ["lr=1e-4", "lr=2e-4", " lr =1"])
def test_a_key_given_twice(second: str) -> None:
    with pytest.raises(UsageError, match=r"^lr: given twice$"):
        parse_settings(["lr=1e-4", "steps=2", second])


def test_parsed_settings_become_a_configuration() -> None:
    config = build_config(Config, parse_settings(["lr=1e-4", "taps=[0,8]", "betas=[5e-1,0.9]", "lambda_nce=0"]))
    assert (config.lr, config.taps, config.betas, config.lambda_nce) == (1e-4, (0, 8), (0.5, 0.9), 0.0)
    assert config.model_copy(update=Config().model_dump()) == Config()  # nothing else was touched


@pytest.mark.parametrize(
    ("given", "meant"), [("lamda_nce", "lambda_nce"), ("batchsize", "batch_size"), ("crop-size", "crop_size")]
)
def test_a_near_miss_is_suggested(given: str, meant: str) -> None:
    assert refusal(**{given: 1}) == f"unknown option {given!r}: did you mean {meant!r}?"


def test_a_far_miss_lists_the_options() -> None:
    said = refusal(zzz=1)
    assert said.startswith("unknown option 'zzz': one of ")
    assert said.partition("one of ")[2].split(", ") == list(Config.model_fields)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lambda_nce", -1.0),
        ("lr", 0),
        ("lr", "fast"),
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("steps", -1),
        ("loader", "any"),
        ("flip", "maybe"),
    ],
)
def test_an_impossible_value_is_shown_with_its_option(option: str, value: object) -> None:
    said = refusal(**{option: value})
    assert said.startswith(f"{option}: ")
    assert said.endswith(f", not {value!r}")


def test_a_bad_item_of_a_list_is_shown_with_its_place() -> None:
    assert refusal(taps=[0, "last"]).startswith("taps.1: ")


def test_a_crop_that_does_not_fit() -> None:
    said = refusal(load_size=128, crop_size=256)
    for part in ("crop_size 256", "load_size 128"):
        assert part in said
    assert build_config(Config, {"load_size": 128, "crop_size": 128}).crop_size == 128
    assert build_config(Config, {"load_size": 0, "crop_size": 512}).crop_size == 512  # 0: tiles stay as they are


def test_all_mistakes_at_once() -> None:
    said = refusal(lambda_nce=-1.0, batchsize=2, lr="fast")
    assert len(said.split("; ")) == 3
    for name in ("lambda_nce", "batchsize", "lr"):
        assert name in said


class Own(DatasetConfig):
    ratio: float = 0.8


class Narrow(Own):
    seed: int = 0


C = TypeVar("C", bound=Own)


class Direct(Dataset[Own]):
    pass


class Plain(Dataset):
    pass


class Inherited(Direct):
    pass


class Open(Dataset[C], Generic[C]):
    pass


class Closed(Open[Narrow]):
    pass


class Mixed(dict[str, int], Direct):
    pass


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Direct, Own),
        (Plain, DatasetConfig),
        (Dataset, DatasetConfig),
        (Inherited, Own),
        (Open, Own),
        (Closed, Narrow),
        (type("Grandchild", (Closed,), {}), Narrow),
        (Mixed, Own),
    ],
)
def test_configuration_of_a_class(cls: type, expected: type[BaseModel]) -> None:
    assert config_type(cls) is expected


def test_a_class_without_configuration_is_told_how_to_name_one() -> None:
    class Bare:
        pass

    with pytest.raises(TypeError, match=r"class Bare\(Contract\[Config\]\)"):
        config_type(Bare)
