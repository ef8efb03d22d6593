"""Configuration: oslo.config options, read once into frozen settings. No global object is kept."""

from lmflow.conf.options import list_opts
from lmflow.conf.settings import Settings, load

__all__ = ["Settings", "list_opts", "load"]
