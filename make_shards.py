"""Write a data set as WebDataset tars, which are read where they lie."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.data.shards.options:ShardsOptions", "utils.data.shards.write:make_shards", __doc__)
