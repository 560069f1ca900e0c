"""What the data says about the scene, and what that means for a method's settings.

Two kinds of scene need different models: an object before a plain background lies within known bounds, a capture
reaches to the horizon. A method's default fits one kind. `follow_data` changes it to the kind of the data that the user
named, and to what the files of an object say of it (`objects.py`), except where the user gave a flag.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.engine.trainer import TrainerConfig

from softmining_nerfstudio.dataparsers.auto import AutoDataParserConfig
from softmining_nerfstudio.training import objects
from softmining_nerfstudio.training.flags import flag_of
from softmining_nerfstudio.training.objects import ObjectParserConfig
from softmining_nerfstudio.training.parsing import name_of

Settings = Mapping[str, Any]
"""Path of a field below the pipeline's configuration -> its value."""


BOUNDS = ("model.near_plane", "model.far_plane", "model.collider_params")
"""Where rays begin and end. The user's own are meant for the scene as it is."""


@dataclass(frozen=True)
class Kind:
    """A kind of scene."""

    name: str
    """For a sentence that begins with the parser's name."""
    settings: Settings
    """For every method that has the fields."""
    of_methods: Mapping[str, Settings] = field(default_factory=dict)
    """Further ones, by the name of the method."""


OBJECTS = Kind(
    "objects before a plain background",
    {
        "model.near_plane": 2.0,
        "model.far_plane": 6.0,
        "model.background_color": "white",
        "model.disable_scene_contraction": True,
        "model.distortion_loss_mult": 0.0,
        "model.use_appearance_embedding": False,
        "model.camera_optimizer.mode": "off",
        "model.proposal_initial_sampler": "uniform",
        "model.average_init_density": 0.1,
    },
)
CAPTURES = Kind(
    "captures",
    {"datamanager.pixel_sampler.importance.alpha": 0.8},
    {
        "softmining-lite": {  # the others are made for captures
            "model.near_plane": 0.05,
            "model.far_plane": 1000.0,
            "model.background_color": "last_sample",
            "model.disable_scene_contraction": False,
            "model.distortion_loss_mult": 0.002,
            "model.proposal_initial_sampler": "piecewise",
            "model.average_init_density": 0.01,
            "model.log2_hashmap_size": 17,
            "model.max_res": 2048,
        }
    },
)


def kind_of(parser: DataParserConfig) -> Kind:
    """The kind of scene that a parser reads: captures, if it is not made for objects."""
    return OBJECTS if isinstance(parser, ObjectParserConfig) else CAPTURES


def parser_of(config: TrainerConfig) -> DataParserConfig:
    """The parser of the data, found by what lies there if the user named none.

    Raises:
        FileNotFoundError, ValueError: the data cannot be read; see `AutoDataParserConfig.found`. Or two are named.
    """
    datamanager = config.pipeline.datamanager
    parser = datamanager.dataparser  # type: ignore[attr-defined]
    default = next(field.default for field in fields(parser) if field.name == "data")
    known = datamanager.data is not None and default is not MISSING
    if known and parser.data not in (default, datamanager.data):
        raise ValueError(f"--data names both {datamanager.data} and {parser.data}; expected one")
    return parser.found(datamanager.data) if isinstance(parser, AutoDataParserConfig) else parser


def follow_data(config: TrainerConfig, words: Collection[str] = ()) -> str:
    """Name the data's own parser in the configuration and fit the settings to its kind of scene. To do it again changes
    nothing.

    Args:
        words: of the command.

    Returns:
        A sentence that says what was set.

    Raises:
        FileNotFoundError, ValueError: the data cannot be read; see `AutoDataParserConfig.found`.
    """
    parser = parser_of(config)
    if parser is not config.pipeline.datamanager.dataparser:  # type: ignore[attr-defined]
        config.pipeline = _with(config.pipeline, "datamanager.dataparser", parser)
    settings = settings_for(config, words)
    for path, value in settings.items():
        config.pipeline = _with(config.pipeline, path, value)
    named = ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in _readable(settings).items())
    said = f"set {named}; flags of your own come first" if named else "the settings stay as they are"
    return f"{name_of(parser)} reads {kind_of(parser).name}: {said}."


def settings_for(config: TrainerConfig, words: Collection[str] = ()) -> dict[str, Any]:
    """What the data asks of a method, and the method does not have by itself.

    A setting is the user's own if it differs from the registered method's, or if the command names it. A method that is
    not registered keeps its settings, unless the command names one that is, as does a configuration from a file.

    Args:
        words: of the command.

    Raises:
        FileNotFoundError, ValueError: the data cannot be read; see `AutoDataParserConfig.found`.
    """
    from nerfstudio.configs.method_configs import all_methods  # not earlier: it imports our methods

    names = [config.method_name, *words]  # --method-name gives it another name
    method = next((all_methods[name] for name in names if name in all_methods), None)
    flags = {flag_of(word) for word in words}
    if method is None or "--load-config" in flags:
        return {}
    parser = parser_of(config)
    asked = _with(config.pipeline, "datamanager.dataparser", parser)
    registered = _with(method.pipeline, "datamanager.dataparser", parser)

    def is_own(path: str) -> bool:
        return _at(asked, path) != _at(registered, path) or _flag(path) in flags

    kind = kind_of(parser)
    wanted = {**kind.settings, **kind.of_methods.get(method.method_name or "", {})}
    if isinstance(parser, ObjectParserConfig):
        with suppress(Exception):  # what cannot be read, the parser tells later
            wanted |= objects.settings_of(parser, config.pipeline.datamanager.data or parser.data)  # type: ignore[attr-defined]
        if any(is_own(path) for path in BOUNDS):
            wanted.pop(objects.SCALE, None)
    return {
        path: value
        for path, value in wanted.items()
        if not is_own(path) and _at(registered, path) not in (value, None) and _offers(registered, path, value)
    }


def _flag(path: str) -> str:
    """The option of a field; those of a parser go without the path."""
    return f"--pipeline.{path}".replace("_", "-").replace("pipeline.datamanager.dataparser.", "")


def _readable(settings: Settings) -> Settings:
    """Paths whose last part says enough."""
    return {path.replace("camera_optimizer.mode", "camera_optimizer"): value for path, value in settings.items()}


def _at(config: Any, path: str) -> Any:
    """The value at a path of fields; None where there is none."""
    for name in path.split("."):
        config = getattr(config, name, None)
    return config


def _offers(config: Any, path: str, value: Any) -> bool:
    """Whether the field at a path can have a value, where it lists those that it can have."""
    parent, _, name = path.rpartition(".")
    kind = get_type_hints(type(_at(config, parent)))[name]
    return get_origin(kind) is not Literal or value in get_args(kind)


def _with(config: Any, path: str, value: Any) -> Any:
    """A configuration with another value at a path of fields. The given one stays as it is."""
    name, _, rest = path.partition(".")
    return replace(config, **{name: _with(getattr(config, name), rest, value) if rest else value})
