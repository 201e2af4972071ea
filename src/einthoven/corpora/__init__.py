"""How is a published data set laid out? One function per corpus lists its records."""

from einthoven.corpora import ptbxl as ptbxl
from einthoven.corpora._registry import (
    Corpus,
    Entry,
    FeatureTable,
    corpus_options,
    list_corpora,
    open_corpus,
    register_corpus,
)

__all__ = ["Corpus", "Entry", "FeatureTable", "corpus_options", "list_corpora", "open_corpus", "register_corpus"]
