"""Ids in addresses: any text, URL-encoded, slashes included."""

from __future__ import annotations

from flask.blueprints import BlueprintSetupState
from werkzeug.routing import PathConverter

from services.recommender.bodies import checked_id


class IdConverter(PathConverter):
    """Takes anything up to the rule's own ending. What is no id is refused by `checked`, with the reason.

    A server hands the address over decoded, so an id that itself ends in "/similar" cannot be told from the
    address of its similar items; POST /v1/recommendations takes such ids.
    """

    regex = r"[\s\S]+?"
    part_isolating = False
    weight = 300


def install(state: BlueprintSetupState) -> None:
    """For `Blueprint.record_once`, before the blueprint's routes are added: the converter `id`."""
    state.app.url_map.converters["id"] = IdConverter
    state.app.url_map.merge_slashes = False  # "//" in an id is two slashes


def checked(value: str, name: str) -> str:
    """The id of an address. Raises ParameterError naming the part of the address."""
    return checked_id(value, name)
