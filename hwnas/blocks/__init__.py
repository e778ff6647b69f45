"""Specs -> torch modules."""

from hwnas.blocks.build import build_block as build_block
