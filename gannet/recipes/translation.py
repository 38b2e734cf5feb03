"""From image to image: pix2pix, CycleGAN, SRGAN."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Stats, Train, part

LATER_DOWN = "linear to 0 from 50% to 100%"


def pix2pix() -> Recipe:
    """U-Net and 70x70 PatchGAN at 256 pixels, L1 with a weight of 100, Adam with 2e-4 and beta1 0.5, batches of 1.

    Random places of images enlarged to 286 pixels, mirrored; 200 epochs, as for facades (appendix 6.2). The paper
    reports, for labels to cityscapes, a per-pixel accuracy of 0.66 by FCN-8s (table 1).
    """
    adam = Optim(lr=2e-4, betas=(0.5, 0.999))
    return Recipe(
        name="pix2pix",
        source="Isola et al. 2017, Image-to-image translation with conditional adversarial networks",
        about="From pairs: side-by-side images, or two folders with the same names. A picture from a drawing.",
        data=Data(resolution=256, kind="pairs", flip=True, enlarge=30 / 256),
        G=part("unet"),
        D=part("patchgan"),
        game=part("pix2pix"),
        optim={"G": adam, "D": adam},
        train=Train(length="200 epochs", batch=1),
        samples=Samples(num=16, when="every 5 epochs"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 20 epochs"),
    )


def cyclegan() -> Recipe:
    """ResNet G and F, 70x70 PatchGANs with instance norm, least squares, a pool of 50 images, batches of 1.

    Adam with 2e-4 and beta1 0.5; the rate stays for 100 epochs and falls to 0 over 100 more (appendix 7). Images
    are enlarged to 286 pixels, cut back to 256 at random places, and mirrored. The paper reports that 26.8% of
    maps to photos were taken for real (table 1).
    """
    adam = Optim(lr=2e-4, betas=(0.5, 0.999))
    return Recipe(
        name="cyclegan",
        source="Zhu et al. 2017, Unpaired image-to-image translation using cycle-consistent adversarial networks",
        about="From two folders without pairs: each kind of image becomes the other, and back.",
        data=Data(resolution=256, kind="unpaired", flip=True, enlarge=30 / 256),
        G=part("resnet-blocks"),
        D=part("patchgan", norm="instance"),
        game=part("cyclegan"),
        objective=part("lsgan"),
        optim={"G": adam, "D": adam},
        schedules={"optim.G.lr": LATER_DOWN, "optim.D.lr": LATER_DOWN},
        train=Train(length="200 epochs", batch=1),
        samples=Samples(num=16, when="every 5 epochs"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 20 epochs"),
    )


def srgan() -> Recipe:
    """SRResNet of 16 blocks, times 4: pixels alone first, then VGG-19's features and a thousandth of D's word.

    Crops of 96 pixels, batches of 16, Adam with 1e-4 and beta1 0.9: a million updates of pixels, then 100,000 more and
    100,000 at a tenth of the rate (section 3.2). Here the second part is as long as in the paper, and the first a
    fifth, which took days. The paper reports, on Set14, a mean opinion score of 3.72 (bicubic 1.97, table 2).
    """
    adam = Optim(lr=1e-4, betas=(0.9, 0.999))
    slower = "linear to 0.1x from 75% to 76%"
    return Recipe(
        name="srgan",
        source="Ledig et al. 2017, Photo-realistic single image super-resolution using a generative adversarial network",
        about="Small images to large ones, four times as wide: from any folder of large images.",
        data=Data(resolution=96, fit="tiles", flip=True),
        G=part("srresnet"),
        D=part("dcgan", bias=True),
        game=part("srgan", start_kimg=3200.0),
        penalties={"content": {}},
        optim={"G": adam, "D": adam},
        schedules={"optim.G.lr": slower, "optim.D.lr": slower},
        train=Train(length="6400 kimg", batch=16),
        samples=Samples(num=16, when="every 100 kimg"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 200 kimg"),
    )
