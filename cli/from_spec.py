"""Click arguments and options made from a job kind's specification.

The types made here only read words into values. Bounds, choices of lists and everything else are
checked by the specification itself, so that each rule stands in one place.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import click

from cvq.errors import SpecError, UsageError
from cvq.parse import once

from .help import Context
from .options import CommaList, FilePath

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from cvq.kinds.kind import Kind

# Put before a negative number, so that Click does not take it for an option.
_MARK = "\0"
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|-inf(inity)?|-nan", re.IGNORECASE)
_MOST_PARAMS = 1 << 20  # bytes
PREFIX = "spec_"  # keeps a kind's fields apart from the options that every job has


class Shape(NamedTuple):
    """How a field is given: the type of one value, whether it is a list, or a flag."""

    type: click.ParamType[Any]
    metavar: str
    many: bool = False
    flag: bool = False
    choices: tuple[str, ...] = ()
    again: bool = False  # whether it is given again for each value


def shape_of(annotation: Any) -> Shape:
    """Find out how a field of this type is given on a command line."""
    from cvq.inputs.files import InputFile

    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(args[0])
    if origin is Literal:
        words = tuple(str(word) for word in args)
        return Shape(click.Choice(words), "|".join(words), choices=words)
    if origin in (Union, UnionType):
        return _shape_of_union([arg for arg in args if arg is not NoneType])
    if origin in (list, tuple):
        item = shape_of(args[0])
        # A list's words are checked by the specification, which says which of them is wrong.
        kind = click.STRING if item.choices else item.type
        metavar = "NAME" if item.choices else item.metavar
        return Shape(kind, metavar, many=True, choices=item.choices)
    if isinstance(annotation, type) and issubclass(annotation, InputFile):
        return Shape(FilePath() if annotation.is_path else click.STRING, annotation.metavar)
    return {
        bool: Shape(click.BOOL, "", flag=True),
        int: Shape(click.INT, "N"),
        float: Shape(click.FLOAT, "X"),
    }.get(annotation, Shape(click.STRING, "TEXT"))


def _shape_of_union(members: list[Any]) -> Shape:
    shapes = [shape_of(member) for member in members]
    if len(shapes) == 1:
        return shapes[0]
    return Shape(click.STRING, "|".join(shape.metavar for shape in shapes))


def shape_of_field(field: FieldInfo) -> Shape:
    """Find out how a field is given, by its type and its marks."""
    from cvq.kinds.spec import Repeated

    for mark in field.metadata:
        if isinstance(mark, Repeated):
            return Shape(click.STRING, mark.metavar, many=True, again=True)
    return shape_of(field.annotation)


def parameters(kind: Kind, taken: frozenset[str] = frozenset()) -> list[click.Parameter]:
    """The Click parameters of a kind; `taken` are names of options that every job has."""
    from cvq.kinds.spec import Argument, Spec

    positional: list[click.Parameter] = []
    options: list[click.Parameter] = []
    # The fields that every kind inherits come last.
    for name, field in sorted(
        kind.spec.model_fields.items(), key=lambda item: item[0] in Spec.model_fields
    ):
        mark = next((item for item in field.metadata if isinstance(item, Argument)), None)
        if mark:
            positional.append(_argument(name, field, mark.metavar))
        else:
            options.append(_option(name, field, taken))
    return positional + options


class _DescribedArgument(click.Argument):
    """An argument with a line of help, which Click itself gives to options only."""

    def __init__(self, *args: Any, description: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.description = description

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """The argument's name and what it means."""
        return self.make_metavar(ctx), self.description

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert what stands there; a negative number comes with a mark (see `KindCommand`)."""
        if isinstance(value, str):
            value = value.removeprefix(_MARK)
        elif isinstance(value, tuple | list):
            value = tuple(item.removeprefix(_MARK) for item in value)
        return super().type_cast_value(ctx, value)


def _argument(name: str, field: FieldInfo, metavar: str | None) -> click.Argument:
    shape = shape_of(field.annotation)
    # Not required for Click: the value may come from --params, and the specification asks for it.
    return _DescribedArgument(
        [PREFIX + name],
        description=field.description or "",
        type=shape.type,
        nargs=-1 if shape.many else 1,
        required=False,
        metavar=metavar or name.upper(),
    )


def _option(name: str, field: FieldInfo, taken: frozenset[str]) -> click.Option:
    shape = shape_of_field(field)
    word = name.replace("_", "-")
    option = f"--spec-{word}" if name in taken else f"--{word}"
    shown = help_of(field, shape)
    if shape.flag:
        return click.Option(
            [f"{option}/--no-{option[2:]}", PREFIX + name], default=None, help=shown
        )
    if shape.again:
        return click.Option(
            [option, PREFIX + name], multiple=True, metavar=shape.metavar, help=shown
        )
    return click.Option(
        [option, PREFIX + name],
        type=CommaList(shape.type, empty=True) if shape.many else shape.type,
        metavar=f"{shape.metavar},..." if shape.many else shape.metavar,
        default=None,
        help=shown,
    )


def help_of(field: FieldInfo, shape: Shape) -> str:
    """A field's description with its choices, bounds and default."""
    from cvq.complaints import bounds_of

    notes = []
    if shape.many and shape.choices:
        notes.append(", ".join(shape.choices))
    if limits := bounds_of(field):
        notes.append(limits)
    if shape.again:
        notes.append("may be repeated")
    elif (default := default_of(field)) is not None:
        notes.append(f"default: {default}")
    return (field.description or "") + (f"  [{'; '.join(notes)}]" if notes else "")


def default_of(field: FieldInfo) -> str | None:
    """A field's default as it would be typed; None where there is none to show."""
    if field.is_required() or field.default is None:
        return None
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(getattr(value, "name", value))


def split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part Click's values into those of the specification that were given, and the common ones."""
    spec, common = {}, {}
    for name, value in values.items():
        if not name.startswith(PREFIX):
            common[name] = value
        elif value is not None and value != ():
            spec[name.removeprefix(PREFIX)] = list(value) if isinstance(value, tuple) else value
    return spec, common


def read_params(path: Path) -> dict[str, Any]:
    """Values from a TOML or JSON file, its keys with `-` or `_`.

    Raises:
        UsageError: the file is missing, of neither kind, or no table of values.
    """
    if path.suffix not in (".toml", ".json"):
        raise UsageError(f"--params {path}: give a .toml or a .json file")
    load = tomllib.loads if path.suffix == ".toml" else partial(json.loads, object_pairs_hook=once)
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may never end
            raise UsageError(f"--params {path}: is not a regular file")
        with path.open("rb") as file:
            content = file.read(_MOST_PARAMS + 1)
        if len(content) > _MOST_PARAMS:
            raise UsageError(f"--params {path}: is larger than {_MOST_PARAMS >> 10} KiB")
        values = load(content.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"--params {path}: {error.strerror}") from None
    except RecursionError:
        raise UsageError(f"--params {path} cannot be read: it is nested too deeply") from None
    except ValueError as error:  # both parsers' errors, and bytes that are not UTF-8
        raise UsageError(f"--params {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f'--params {path}: expected names with values, as in {{"size": 320}}')
    return {name.replace("-", "_"): value for name, value in values.items()}


def _in_options(error: SpecError, params: Sequence[click.Parameter]) -> str:
    """What is wrong with a specification, each field named as it is given on the command line."""
    missing = {problem.field for problem in error.problems if not problem.text}
    names: dict[str, str] = {}
    for param in params:
        field = (param.name or "").removeprefix(PREFIX)
        if isinstance(param, click.Argument):
            word = param.metavar or field.upper()
            names[field] = word if field in missing else word.rstrip(".")
        else:
            value = f" {param.metavar}" if field in missing and param.metavar else ""
            names[field] = param.opts[0] + value

    def option(found: re.Match[str]) -> str:
        return names.get(found[0], found[0])

    # A sentence about several fields has their names in it: those that can be no other word.
    told = [
        problem._replace(text=re.sub(r"\b[a-z]+(_[a-z]+)+\b", option, problem.text))
        for problem in error.problems
    ]
    return SpecError(error.kind, told).sentence(lambda field: names.get(field, field))


class KindCommand(click.Command):
    """A command for one kind; its help shows the kind's options and every job's apart."""

    context_class = Context
    heading = "Options of every job"

    def valued_options(self) -> set[str]:
        """The options that take the word behind them."""
        return {
            word
            for param in self.params
            if isinstance(param, click.Option) and not param.is_flag
            for word in param.opts
        }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a negative number that is no option's value is an argument, and no option."""
        valued = self.valued_options()
        end = args.index("--") if "--" in args else len(args)
        before = ["", *args]
        marked = [
            _MARK + word
            if index < end and before[index] not in valued and _NEGATIVE.fullmatch(word)
            else word
            for index, word in enumerate(args)
        ]
        try:
            return super().parse_args(ctx, marked)
        except click.UsageError as error:
            if _MARK not in error.message:
                raise
            raise click.UsageError(error.message.replace(_MARK, ""), error.ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two sections of options."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                (own if (param.name or "").startswith(PREFIX) else common).append(record)
        for heading, records in (
            (f"Options of {self.name}", own),
            (self.heading, common),
        ):
            with formatter.section(heading):
                formatter.write_dl(records)


class KindGroup(click.Group):
    """A command whose first word is a job kind, as in `cvq submit KIND …`.

    Args:
        action: called with the kind, the specification's values and the common options.
        common: makes the options that are no fields of its specification.

    Attributes:
        made_of: the class of a kind's command.
    """

    made_of = KindCommand

    def __init__(
        self,
        *args: Any,
        action: Callable[[Kind, dict[str, Any], dict[str, Any]], Any],
        common: Callable[[Kind], Sequence[click.Parameter]],
        **more: Any,
    ) -> None:
        # An option before the kind then reaches resolve_command, which explains.
        settings = {"ignore_unknown_options": True}
        super().__init__(*args, context_settings=settings, **more)
        self.subcommand_metavar = "KIND [VALUES]..."
        self.action = action
        self.common = common

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The known kinds."""
        return list(_kinds())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command of one kind, made from its specification.

        Raises:
            UnknownKindError: there is no such kind; the message names the nearest.
        """
        from cvq.kinds import get_kind
        from cvq.settings import Settings

        kind = get_kind(cmd_name, Settings.load())
        common = list(self.common(kind))
        words = [word for param in common for word in (*param.opts, *param.secondary_opts)]
        taken = frozenset(
            word.removeprefix("--").removeprefix("no-").replace("-", "_")
            for word in (*words, "--help", "--debug")  # which every command has
        )

        def callback(**values: Any) -> Any:
            spec, rest = split(values)
            if path := rest.pop("params"):
                spec = read_params(Path(path)) | spec
            try:
                return self.action(kind, spec, rest)
            except SpecError as error:
                raise UsageError(_in_options(error, own)) from None

        own = parameters(kind, taken)
        return self.made_of(
            cmd_name,
            params=[*own, *common],
            context_settings={"allow_interspersed_args": not _takes_rest(kind)},
            callback=callback,
            epilog=_examples(ctx, kind) if self.made_of is KindCommand else None,
            help=f"{kind.summary}\n\n{(kind.spec.__doc__ or '').strip().partition(chr(10))[0]}",
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The kind comes first; an option before it would not be known yet."""
        if args[0].startswith("-"):
            raise click.UsageError(
                f"the kind comes first: {ctx.command_path} KIND {args[0]} …", ctx
            )
        return args[0], self.get_command(ctx, args[0]), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The kinds with their summaries."""
        with formatter.section("Kinds"):
            formatter.write_dl([(name, kind.summary) for name, kind in _kinds().items()])


def _examples(ctx: click.Context, kind: Kind) -> str | None:
    lines = [f"  {ctx.command_path} {kind.name} {words}" for words in kind.examples]
    return "\n".join(["\b\nExamples:", *lines]) if lines else None


def _takes_rest(kind: Kind) -> bool:
    """Whether the words from the first argument on are no options of cvq's."""
    fields = kind.spec.model_fields.values()
    return any(getattr(mark, "rest", False) for field in fields for mark in field.metadata)


def _kinds() -> dict[str, Kind]:
    from cvq.kinds import all_kinds
    from cvq.settings import Settings

    return all_kinds(Settings.load())
