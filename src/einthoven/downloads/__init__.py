"""How is a published corpus fetched? In parallel, resumable, and nothing is kept whose checksum is wrong."""

from einthoven.downloads.client import DownloadError, Patience
from einthoven.downloads.fetch import Progress, Summary, download
from einthoven.downloads.sources import Part, Source, find_source, list_sources

__all__ = [
    "DownloadError",
    "Part",
    "Patience",
    "Progress",
    "Source",
    "Summary",
    "download",
    "find_source",
    "list_sources",
]
