"""Loading a bundle: checked, memory-mapped, and handed to its class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from palate.bundle.arrays import open_array, open_ids
from palate.bundle.checks import verified_once, verify_bundle
from palate.bundle.manifest import Content, read_manifest
from palate.errors import BundleFormatError, PalateError, ParameterError
from palate.models import artifact_class
from palate.models.protocol import Arrays, Artifact, Recommender

Verify = Literal["once", "always", "never"]


def load_bundle(path: str | Path, *, verify: Verify = "once", cache: Path | None = None) -> Artifact:
    """The artifact of a bundle. Its arrays are mapped, so that processes share them, and read-only.

    verify: "once" checks all checksums the first time this machine sees these files and remembers it under `cache`
    (in the user's cache directory unless told), "always" each time, "never" only the manifest's own.

    Raises BundleError if there is no bundle, BundleDamagedError naming the file and what differs,
    BundleFormatError for a newer format or an unknown kind.
    """
    root = Path(path)
    if verify == "once":
        manifest = verified_once(root, cache)
    elif verify == "always":
        manifest = verify_bundle(root)
    elif verify == "never":
        manifest = read_manifest(root)
    else:
        raise ParameterError(f"verify must be 'once', 'always' or 'never', not {verify!r}.", where="verify")
    return _restore(root.absolute(), manifest)


def load_recommender(path: str | Path) -> Recommender:
    """The model of a bundle, which must be one that ranks items. Raises ParameterError if it is not."""
    model = load_bundle(path)
    if not isinstance(model, Recommender):
        raise ParameterError(f"the bundle holds a {model.kind}, which ranks no items.", where=str(path))
    return model


def _restore(root: Path, content: Content) -> Artifact:
    found = artifact_class(content.kind)
    arrays = Arrays(
        content.params,
        {name: open_array(root, entry) for name, entry in content.arrays.items()},
        {name: open_ids(root, entry) for name, entry in content.ids.items()},
        {name: _restore(root, part) for name, part in content.parts.items()},
    )
    try:
        return found.from_arrays(arrays)
    except (PalateError, KeyError, TypeError, ValueError) as error:
        raise BundleFormatError(
            f"the {content.kind} model cannot be restored from it ({type(error).__name__}: {error}).",
            where=str(root),
            hint="It was probably written by another version of that model; train it again.",
        ) from error
