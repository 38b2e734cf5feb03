"""From image to image: pix2pix, CycleGAN, SRGAN and ESRGAN."""

from dataclasses import replace

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Stats, Train, part

LATER_DOWN = "linear to 0 from 50% to 100%"


def both(lr: float, beta1: float) -> dict[str, Optim]:
    """The same Adam for G and D."""
    return {"G": Optim(lr=lr, betas=(beta1, 0.999)), "D": Optim(lr=lr, betas=(beta1, 0.999))}


def pix2pix() -> Recipe:
    """U-Net and 70x70 PatchGAN at 256 pixels, L1 with a weight of 100, Adam with 2e-4 and beta1 0.5, batches of 1.

    Random places of images enlarged to 286 pixels, mirrored; 200 epochs, as for facades (appendix 6.2). The paper
    reports, for labels to cityscapes, a per-pixel accuracy of 0.66 by FCN-8s (table 1). Instance norm in G is what
    batch norm is in batches of one.
    """
    return Recipe(
        name="pix2pix",
        source="Isola et al. 2017, Image-to-image translation with conditional adversarial networks",
        about="From pairs: side-by-side images, or two folders with the same names. A picture from a drawing.",
        data=Data(resolution=256, kind="pairs", flip=True, enlarge=30 / 256),
        G=part("unet", norm="instance"),
        D=part("patchgan"),
        game=part("pix2pix"),
        optim=both(2e-4, beta1=0.5),
        train=Train(length="200 epochs", batch=1),
        samples=Samples(num=16, when="every 5 epochs"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 20 epochs"),
    )


def pix2pix_small() -> Recipe:
    """pix2pix for a CPU: 64 pixels, a quarter of the features, batches of 8 and two and a half times the rate.

    Images are not enlarged and cut, which blurs them: twice as near to what it should be on pairs that it did not see.
    """
    whole = pix2pix()
    return replace(
        whole,
        name="pix2pix-small",
        source="Gannet's own, after Isola et al. 2017 (pix2pix)",
        about="From pairs, on a laptop: a picture from a drawing, at 64 pixels.",
        data=replace(whole.data, resolution=64, enlarge=0.0),
        G=part("unet", width=16),
        D=part("patchgan", width=16),
        optim=both(5e-4, beta1=0.5),
        train=Train(length="30 kimg", batch=8),
        samples=Samples(num=16, when="every 3 kimg"),
        checkpoints=Checkpoints(when="every 10 kimg"),
    )


def cyclegan() -> Recipe:
    """ResNet G and F, 70x70 PatchGANs with instance norm, least squares, a pool of 50 images, batches of 1.

    Adam with 2e-4 and beta1 0.5; the rate stays for 100 epochs and falls to 0 over 100 more (appendix 7). Images
    are enlarged to 286 pixels, cut back to 256 at random places, and mirrored. The paper's weight of the cycle is 10;
    here it is 5, beside least squares that are halved (Mao et al. 2017). The identity term, which the paper has for
    paintings alone (section 5.2), is on, as in the code that its authors published. The paper reports that 26.8% of
    maps to photos were taken for real (table 1).
    """
    return Recipe(
        name="cyclegan",
        source="Zhu et al. 2017, Unpaired image-to-image translation using cycle-consistent adversarial networks",
        about="From two folders without pairs: each kind of image becomes the other, and back.",
        data=Data(resolution=256, kind="unpaired", flip=True, enlarge=30 / 256),
        G=part("resnet-blocks"),
        D=part("patchgan", norm="instance"),
        game=part("cyclegan", cycle=5.0),
        objective=part("lsgan"),
        optim=both(2e-4, beta1=0.5),
        schedules={"optim.G.lr": LATER_DOWN, "optim.D.lr": LATER_DOWN},
        train=Train(length="200 epochs", batch=1),
        samples=Samples(num=16, when="every 5 epochs"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 20 epochs"),
    )


def cyclegan_small() -> Recipe:
    """CycleGAN at 32 pixels: a quarter of the features, four blocks, batches of 8, for a CPU.

    Four times the paper's rate; it falls in the second half of the run. G has batch norm: instance norm takes the
    colour from what has one colour on black, and nothing can bring it back. D's patch of 34 pixels is most of
    such an image: one of 16 does not see that a large square has become no circle. Doublings of 4x4 leave fewer
    notches in edges than those of 3x3. Images are not enlarged and cut: that blurs edges, which at 32 pixels is much
    of what D goes by, and G learns it.
    """
    whole = cyclegan()
    return replace(
        whole,
        name="cyclegan-small",
        source="Gannet's own, after Zhu et al. 2017 (CycleGAN)",
        about="From two folders without pairs, on a laptop: each becomes the other, at 32 pixels.",
        data=replace(whole.data, resolution=32, enlarge=0.0),
        G=part("resnet-blocks", width=16, blocks=4, norm="batch", up_kernel=4),
        D=part("patchgan", patch=34, width=16, norm="instance"),
        optim=both(8e-4, beta1=0.5),
        train=Train(length="80 kimg", batch=8),
        samples=Samples(num=16, when="every 5 kimg"),
        checkpoints=Checkpoints(when="every 20 kimg"),
    )


def srgan() -> Recipe:
    """SRResNet of 16 blocks, times 4: pixels alone first, then VGG-19's features and a thousandth of D's word.

    Crops of 96 pixels, batches of 16, Adam with 1e-4 and beta1 0.9: a million updates of pixels, then 100,000 more and
    100,000 at a tenth of the rate (section 3.2). Here the second part is as long as in the paper, and the first a
    fifth, which took days. The paper reports, on Set14, a mean opinion score of 3.72 (bicubic 1.80, table 2).
    """
    slower = "linear to 0.1x from 75% to 76%"
    return Recipe(
        name="srgan",
        source="Ledig et al. 2017, Photo-realistic single image super-resolution using a GAN",
        about="Small images to large ones, four times as wide: from any folder of large images.",
        data=Data(resolution=96, fit="tiles"),
        G=part("srresnet"),
        D=part("vgg"),
        game=part("srgan", start_kimg=3200.0),
        penalties={"content": {}},
        optim=both(1e-4, beta1=0.9),
        schedules={"optim.G.lr": slower, "optim.D.lr": slower},
        train=Train(length="6400 kimg", batch=16),
        samples=Samples(num=16, when="every 100 kimg"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 200 kimg"),
    )


def esrgan() -> Recipe:
    """23 dense blocks without batch norm, a relativistic D, features before their ReLU, and 1e-2 of the pixels' L1.

    Crops of 128 pixels, mirrored (in the paper also turned), batches of 16, Adam with 1e-4 and beta1 0.9, and D's word
    with a weight of 5e-3: a million updates of pixels alone, by L1 and at twice the rate, then 400,000 in which it
    is halved four times (section 4.1). Here it falls evenly by as much, and the first part has 400,000. The
    distance of features, which the paper does not write down, is SRGAN's. The paper reports, for the model that won
    region 3 of the PIRM challenge, a perceptual index of 2.040.
    """
    slower = "exponential to 0.0625x from 50% to 90%"
    return replace(
        srgan(),
        name="esrgan",
        source="Wang et al. 2018, ESRGAN: enhanced super-resolution generative adversarial networks",
        about="Small images to large ones, sharper and slower than srgan.",
        data=Data(resolution=128, fit="tiles", flip=True),
        G=part("rrdb"),
        game=part("srgan", start_kimg=6400.0, start_distance="absolute", adversarial=5e-3, pixel=1e-2),
        objective=part("relativistic-average"),
        penalties={"content": {"activated": False}},
        schedules={"optim.G.lr": slower, "optim.D.lr": slower},
        train=Train(length="12800 kimg", batch=16),
    )


def srgan_small() -> Recipe:
    """SRGAN from 16 to 64 pixels with a quarter of its blocks and half of G's features, for a CPU.

    The features of the content are those of EfficientNet-Lite0, which comes in a package, and the rates are four
    times the paper's: there are few updates.
    """
    return replace(
        srgan(),
        name="srgan-small",
        source="Gannet's own, after Ledig et al. 2017 (SRGAN)",
        about="Small images to large ones, four times as wide, on a laptop.",
        data=Data(resolution=64, flip=True),
        G=part("srresnet", width=32, blocks=4),
        D=part("vgg", width=16, hidden=64),
        game=part("srgan", start_kimg=40.0),
        penalties={"content": {"network": "efficientnet-lite0"}},
        optim=both(4e-4, beta1=0.9),
        train=Train(length="80 kimg", batch=16),
        samples=Samples(num=16, when="every 10 kimg"),
        checkpoints=Checkpoints(when="every 20 kimg"),
    )
