# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver of the nested test bed (L0's side); README.md tells its use."""
