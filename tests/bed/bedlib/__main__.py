# SPDX-License-Identifier: GPL-2.0-or-later
"""Entry of `python3 -m bedlib`."""

import sys

from bedlib import cli

sys.exit(cli.main(sys.argv[1:]))
