"""The fixtures of a site that is published."""

from tests.support.publishing import nobody_is_asked, paper

__all__ = ["nobody_is_asked", "paper"]
