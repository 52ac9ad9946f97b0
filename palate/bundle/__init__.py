"""Bundles: a model as a directory of arrays, id tables and a manifest. No pickle, checksummed, memory-mapped.

manifest.json      kind, parameters, metrics, lineage, signature, and the sha256 and size of each file
manifest.sha256    the manifest's own checksum
arrays/NAME.npy    a dense array; NAME.data.npy, NAME.indices.npy, NAME.indptr.npy are a CSR matrix
ids/NAME.arrow     an id map: ids in code order, and the order that sorts them
parts/NAME/        the same again for each artifact that this one is made of
"""

from palate.bundle.checks import verify_bundle
from palate.bundle.manifest import FORMAT, Manifest, read_manifest
from palate.bundle.reader import load_bundle, load_recommender
from palate.bundle.versions import bundle_versions, current_bundle, publish_bundle, set_current
from palate.bundle.writer import require_free, write_bundle

__all__ = [
    "FORMAT",
    "Manifest",
    "bundle_versions",
    "current_bundle",
    "load_bundle",
    "load_recommender",
    "publish_bundle",
    "read_manifest",
    "require_free",
    "set_current",
    "verify_bundle",
    "write_bundle",
]
