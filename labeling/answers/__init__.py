"""Answers: Label Studio's `result`, a list of regions, each checked against what the project asks.

    [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["Drama"]}}]

A project with one plain question also takes the value alone, `{"choices": ["Drama"]}`. What a region holds beyond
what is checked here (its id, its origin, a score) is kept as it came.
"""

from labeling.answers.check import MAX_REGIONS, check
from labeling.answers.compare import same
from labeling.answers.short import cell, kept, key, labels_in, labels_of, readable, short

__all__ = ["MAX_REGIONS", "cell", "check", "kept", "key", "labels_in", "labels_of", "readable", "same", "short"]
