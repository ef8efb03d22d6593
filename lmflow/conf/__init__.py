"""Configuration: oslo.config options, read once into frozen settings. No global object is kept."""

from lmflow.conf.options import list_opts
from lmflow.conf.origins import Explanation, OptionValue, explain, find_shared, list_values
from lmflow.conf.settings import Settings, load

__all__ = ["Explanation", "OptionValue", "Settings", "explain", "find_shared", "list_opts", "list_values", "load"]
