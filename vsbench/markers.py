"""The markers of breast pathology: however one is spelt, it is one, under one name in folders, records and tables."""

import re

_SEP = "[-_. \u2010-\u2015]?"  # hyphens and dashes as papers have them
SPELLINGS = {  # regular expressions, of lower case
    "er": "er",
    "pr": "pgr|pr",
    "her2": f"her{_SEP}2(?:[/ -]?neu)?|(?:c{_SEP})?erb{_SEP}b{_SEP}2",
    "ki67": f"ki{_SEP}67",
}

NAMES = {"er": "ER", "pr": "PR", "her2": "HER2", "ki67": "Ki67"}  # as pathologists write them


def marker(stain: str) -> str:
    """The one name of the marker that ``stain`` spells: ``Ki-67`` → ``ki67``. An unknown one stays as it is."""
    given = stain.strip()
    return next((name for name, other in SPELLINGS.items() if re.fullmatch(other, given, re.IGNORECASE)), stain)


def stain_name(stain: str) -> str:
    """A stain as the field writes it (``her2`` → ``HER2``); an unknown one as it is."""
    return NAMES.get(marker(stain), stain)


def spelling(stain: str) -> str:
    """A regular expression of how folders may spell a stain; an unknown one is spelt as it is."""
    name = marker(stain)
    return f"(?i:{SPELLINGS[name]})" if name in SPELLINGS else re.escape(stain)
