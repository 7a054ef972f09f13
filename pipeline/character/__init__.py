"""From a picture to a character that can be driven: cut out, jointed, and taken apart into layers."""

from pipeline.character.maker import make_character
from pipeline.character.model import Character, Layer

__all__ = ["Character", "Layer", "make_character"]
