"""YAML text <-> plain values."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ferspore.config.schema import Config, ConfigError
from ferspore.tables import one_line

# YAML 1.1, which PyYAML reads, asks for 1.0e-3 and takes 1e-3 for text.
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


MAX_DEPTH = 100  # of brackets: the time that PyYAML takes grows with the square
MAX_KEYS, MAX_MERGED = 1000, 100  # of a mapping; mappings, or keys, that one << names


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, token):
        if self.flow_level > MAX_DEPTH:
            problem = "nested too deeply"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.get_mark())
        super().fetch_flow_collection_start(token)

    def flatten_mapping(self, node):
        """Merge keys (<<) that refer to merge keys multiply: bounded before and after each."""
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        most = max((len(value.value) for value in merged), default=0)
        if most <= MAX_MERGED:
            super().flatten_mapping(node)
        if most > MAX_MERGED or len(node.value) > MAX_KEYS:
            raise yaml.MarkedYAMLError(problem="too many keys", problem_mark=node.start_mark)

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} occurs twice in one mapping"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return node

    def construct_yaml_int(self, node):
        """In decimal, as a flag's value: YAML 1.1 takes 010 for 8 and 1:30 for 90."""
        text = self.construct_scalar(node)
        if not re.fullmatch("[-+]?[0-9][0-9_]*", text):
            problem = f"{one_line(text)} is no decimal number"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return int(text.replace("_", ""))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Dumper(yaml.SafeDumper):
    def represent_list(self, data):
        flow = not any(isinstance(item, dict) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _Dumper.represent_list)
for _class in (_Loader, _Dumper):  # the dumper too: a name such as 1e5 must be written in quotes
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def config_yaml(config: Config) -> str:
    """The configuration as YAML; `load_config` reads it back as the same Config."""
    return yaml.dump(
        config.to_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )


LONGEST = 200  # characters of PyYAML's, in a message
MAX_VALUES = 100_000  # aliases let a file of a kilobyte hold more than any memory


def parse_yaml(text: str | bytes, origin: str) -> Any:
    """The plain value of a YAML text. Raises ConfigError in one line, with line and column."""
    try:
        return plain(yaml.load(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = one_line(str(error.problem), LONGEST)
        raise ConfigError(f"{origin}{where}: {problem}; expected YAML") from None
    except RecursionError:
        raise ConfigError(f"{origin}: nested too deeply, or contains itself") from None
    except (yaml.YAMLError, ValueError) as error:  # bytes that are no text; a 13th month
        problem = one_line(" ".join(str(error).split()), LONGEST)
        raise ConfigError(f"{origin}: {problem}; expected YAML") from None


def plain(value: Any) -> Any:
    """A copy with keys as text and tuples as lists.

    Raises:
        RecursionError: it contains itself.
        ValueError: it has more than ``MAX_VALUES`` values, repeated ones counted each time.
    """
    return _plain(value, itertools.count())


def _plain(value: Any, counter: Iterator[int]) -> Any:
    if next(counter) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, counter) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, counter) for item in value]
    return value
