"""Configurations that tests load, and the faults that loading tells."""

import pytest

from ferspore.config.loading import Override, load_config
from ferspore.config.schema import ConfigError

TWO_STAGES = """
name: two
seed: 5
training: {lr: 0.2, epochs: 9}
stages:
- name: first
  training: {epochs: 3}
- name: second
  init_from: first
  seed: 6
  model: {blocks: [2, 2]}
  training: {lr: 0.1, weight_decay: 1e-4}
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def faults(*args, **kwargs):
    """The lines of the ConfigError that load_config raises."""
    with pytest.raises(ConfigError) as caught:
        load_config(*args, **kwargs)
    return str(caught.value).splitlines()


def fault_of(key, value):
    """The one fault of one override."""
    (line,) = faults(None, [Override(key, value, "--set")])
    return line
