"""How is a published data set laid out? One function per corpus lists its records."""

from einthoven.corpora import cinc as cinc
from einthoven.corpora import folder as folder
from einthoven.corpora import heartbeat_csv as heartbeat_csv
from einthoven.corpora import heartbeats as heartbeats
from einthoven.corpora import mitdb as mitdb
from einthoven.corpora import ptbxl as ptbxl
from einthoven.corpora import sph as sph
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
