"""The forms in which a transcript leaves the program: for readers, players, tables and programs."""

from stretto.interfaces.formats.layout import SubtitleLayout
from stretto.interfaces.formats.registry import FORMATS, Format, format_named, render

__all__ = ["FORMATS", "Format", "SubtitleLayout", "format_named", "render"]
