"""What ``einthoven download`` does: fetch a published corpus, and say what to cite and what to do next."""

from __future__ import annotations

from pathlib import Path

from rich.filesize import decimal

from einthoven.cli.progress import transfer_bar
from einthoven.errors import EinthovenError

__all__ = ["download_corpus", "print_sources"]


def print_sources() -> None:
    """Print what can be downloaded, one a line, with its parts below it."""
    from einthoven.downloads import list_sources

    for name, source in list_sources().items():
        size = decimal(source.parts["all"].n_bytes)
        print(f"{name:<15} {source.version:<6} about {size:>8}  {source.licence:<10.10}  {source.title}")
        for part, selection in source.parts.items():
            if part != "all":
                print(f"  --part {part:<13} about {decimal(selection.n_bytes):>8}")


def download_corpus(
    name: str | None, dest: Path | None, part: str, only: str | None, mirror: str | None, workers: int, verify: bool
) -> None:
    """Download a corpus, then print the summary, licence, citation and next command."""
    from einthoven.corpora import list_corpora
    from einthoven.downloads import download, find_source

    if name is None:
        raise EinthovenError("what shall be downloaded? einthoven download --list  shows what there is")
    source = find_source(name)
    dest = dest or Path("corpora") / name
    with transfer_bar("downloading") as move:
        done = download(
            name,
            dest,
            part=part,
            only=only,
            mirror=mirror,
            workers=workers,
            verify=verify,
            progress=lambda at: move(at.files, at.files_total, at.bytes, at.bytes_expected),
        )
    print(
        f"{dest}: {done.fetched:,} files fetched ({decimal(done.bytes)} in {done.seconds:.1f} s), "
        f"{done.skipped:,} verified before"
    )
    print(f"licence {source.licence}; {source.homepage}\ncite    {source.citation}")
    if source.then:
        print(f"then    {source.then}")
    if name in list_corpora():
        print(f"next    einthoven prepare {name} {dest} {source.parts[part].prepare}".rstrip())
