"""Content of items and users as vectors, computed in one way offline and online."""

from palate.features.encoder import ContentEncoder, EncoderParams
from palate.features.users import user_vectors

__all__ = ["ContentEncoder", "EncoderParams", "user_vectors"]
