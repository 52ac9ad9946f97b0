"""Filters over the items of the catalogue: `category = "film" and price < 20 and not tags has "adult"`.

expressions   what a filter is, once it is understood
parser        from text to an expression, or to an error that says where and what was expected
columns       the catalogue's attributes as Arrow columns, and masks kept per filter

    filter     = any
    any        = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" any ")" | test
    test       = attribute                                          a flag that is true
               | attribute ( "=" | "!=" ) value                     equal; for a list: holds it
               | attribute ( "<" | "<=" | ">" | ">=" ) value        numbers by size, text by code points
               | attribute [ "not" ] "in" "(" value { "," value } ")"
               | attribute [ "not" ] "has" text                     a list holds it
               | attribute [ "not" ] "contains" text                text holds it, letter case aside
               | attribute "is" [ "not" ] "missing"
    attribute  = name | "attributes" "." ( name | text )
    value      = number | text | "true" | "false"

Words of the language are read in any letter case. Text stands in double or single quotes, with backslash escapes.

A test of what an item lacks is neither true nor false, and neither is its negation: only what is true matches. So
`price < 20` and `not price < 20` both leave out an item without a price; `price is missing` finds it.
"""

from services.recommender.filters.columns import Columns
from services.recommender.filters.parser import MAX_DEPTH, MAX_LENGTH, parse

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "Columns", "parse"]
