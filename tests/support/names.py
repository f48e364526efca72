"""Names that a careless backend would turn into the wrong path."""

from typing import Final

ODD_NAMES: Final = {
    "climbs": "../x",
    "slash": "a/b",
    "absolute": "/etc/passwd",
    "dot": ".",
    "dots": "..",
    "hidden": ".hidden",
    "dash": "-",
    "json": "17.json",
    "percent": "a%2Fb%00",
    "space": " a b ",
    "lines": "two\nlines",
    "control": "bell\x07",
    "emoji": "🦀",
    "accent": "gru\u0308n",
    "long": "n" * 200,
    "longer": "n" * 1000,
    "longest-emoji": "🦀" * 300,
}
