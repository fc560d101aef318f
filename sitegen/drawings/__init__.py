"""Drawings: figures that stand still as SVG, from plain numbers and pictures; no torch."""
