"""Answers that the tests of consensus and agreement share."""

import pytest

from labeling.consensus import Answers

ANAESTHETISTS = """
111 1 1 1 1|333 4 3 3 4|112 2 1 2 2|222 3 1 2 1|222 3 2 2 2|222 3 3 2 2|122 2 1 1 1|333 3 4 3 3|222 2 2 2 3
232 2 2 2 3|444 4 4 4 4|222 3 3 4 3|111 1 1 1 1|222 3 2 1 2|121 1 1 1 1|111 2 1 1 1|111 1 1 1 1|111 1 1 1 1
222 2 2 2 1|222 1 3 2 2|222 2 2 2 2|222 2 2 2 1|222 3 2 2 2|221 2 2 2 2|111 1 1 1 1|111 1 1 1 1|232 2 2 2 2
111 1 1 1 1|111 1 1 1 1|112 1 1 2 1|111 1 1 1 1|333 3 2 3 3|111 1 1 1 1|222 2 2 2 2|222 3 2 3 2|433 4 3 4 3
221 2 2 3 2|232 3 2 3 3|333 3 4 3 2|111 1 1 1 1|111 1 1 1 1|121 2 1 1 1|232 2 2 2 2|121 1 1 1 1|222 2 2 2 2
"""


@pytest.fixture(scope="session")
def anaesthetists():
    """Table 1 of Dawid and Skene (1979): five anaesthetists on the fitness of 45 patients, the first three times."""
    rows = [
        (f"{patient:02}", f"{observer}", grade)
        for patient, line in enumerate(ANAESTHETISTS.replace("\n", "|").strip("|").split("|"), 1)
        for observer, grades in enumerate(line.split(), 1)
        for grade in grades
    ]
    return Answers.of(*zip(*rows, strict=True))
