"""What the authors of MNIST and Fashion-MNIST published: file names, checksums, mirrors."""

from dataclasses import dataclass
from typing import NamedTuple

_IMAGES, _LABELS = 2051, 2049


class PublishedFile(NamedTuple):
    """A file as its authors published it."""

    name: str
    """Without `.gz`; it may lie in the cache either way."""
    magic: int
    sha256: str
    """Of the gzip file."""
    content_sha256: str | None
    """Of what is in it, where that is known."""


@dataclass(frozen=True)
class PublishedSet:
    """Four IDX files (train images and labels, test images and labels) and where to get them."""

    kind: str
    title: str
    class_names: tuple[str, ...]
    mean: float
    """Of the training pixels, 0 to 255."""
    std: float
    mirrors: tuple[str, ...]
    files: tuple[PublishedFile, PublishedFile, PublishedFile, PublishedFile]


MNIST = PublishedSet(
    kind="mnist",
    title="MNIST",
    class_names=tuple("0123456789"),
    mean=0.1307 * 255,
    std=0.3081 * 255,
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    files=(
        PublishedFile(
            "train-images-idx3-ubyte",
            _IMAGES,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        PublishedFile(
            "train-labels-idx1-ubyte",
            _LABELS,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        PublishedFile(
            "t10k-images-idx3-ubyte",
            _IMAGES,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        PublishedFile(
            "t10k-labels-idx1-ubyte",
            _LABELS,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)

FASHION_MNIST = PublishedSet(
    kind="fashion_mnist",
    title="Fashion-MNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    mean=0.2860 * 255,
    std=0.3530 * 255,
    # the authors' own server speaks no https
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    files=(
        PublishedFile(
            "train-images-idx3-ubyte", _IMAGES, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", None
        ),
        PublishedFile(
            "train-labels-idx1-ubyte", _LABELS, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", None
        ),
        PublishedFile(
            "t10k-images-idx3-ubyte", _IMAGES, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", None
        ),
        PublishedFile(
            "t10k-labels-idx1-ubyte", _LABELS, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", None
        ),
    ),
)
