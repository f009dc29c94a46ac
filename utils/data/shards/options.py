"""The flags of make_shards.py."""

from dataclasses import dataclass

from utils.cli.options import option


@dataclass
class ShardsOptions:
    """Options of make_shards.py."""

    data: str = option("", "data yaml of the data set to put into tars")
    out: str = option("shards", "folder of the tars and of their data yaml, which is not there yet")
    photos: int = option(1000, "photos in each tar", minimum=1)
    workers: int = option(2, "threads of the scan", minimum=1)
