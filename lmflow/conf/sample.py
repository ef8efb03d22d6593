"""The sample configuration file, generated from the options."""

from __future__ import annotations

import io

from oslo_config import cfg, generator

_WIDTH = 100


def render() -> str:
    """Return the text of ``etc/lmflow/lmflow.conf.sample``; the generator finds the options by lmflow's entry point."""
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(["--namespace", "lmflow", "--wrap-width", str(_WIDTH)], default_config_files=[], default_config_dirs=[])
    output = io.StringIO()
    generator.generate(conf, output_file=output)
    return output.getvalue().rstrip("\n") + "\n"
