# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command line of the audit."""

from research_cli import run

from name_audit import audit

if __name__ == '__main__':
    run(audit)
