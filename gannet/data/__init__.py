"""Images of the user's: found, looked at, made alike, kept decoded, and given out in order."""

from gannet.parts import Table

SOURCES = Table(
    "data set",
    ("shapes", "gannet.data.shapes:circles"),
    ("shapes-labelled", "gannet.data.shapes:circles_and_squares"),
    ("circles", "gannet.data.shapes:circles_alone"),
    ("squares", "gannet.data.shapes:squares_alone"),
    ("outlines", "gannet.data.drawn:outlines"),
    ("moving", "gannet.data.drawn:moving"),
    ("mnist", "gannet.data.downloads:mnist"),
    ("fashion-mnist", "gannet.data.downloads:fashion_mnist"),
    ("cifar10", "gannet.data.downloads:cifar10"),
)

SHARDS = Table("kind of shard", (".tar", "gannet.data.shards:Tar"), (".parquet", "gannet.data.hf:parquet"))

FETCHED = Table(
    "thing to fetch",
    ("mnist", "gannet.data.downloads:fetch_mnist"),
    ("fashion-mnist", "gannet.data.downloads:fetch_fashion_mnist"),
    ("cifar10", "gannet.data.downloads:fetch_cifar10"),
)
