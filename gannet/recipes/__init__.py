"""Recipes: one file a tutorial or paper, each a function that returns a whole `Recipe`."""

from gannet.config import Recipe
from gannet.parts import Table

RECIPES = Table(
    "recipe",
    ("small", "gannet.recipes.small:small"),
    ("best", "gannet.recipes.best:best"),
    ("dcgan", "gannet.recipes.dcgan:dcgan"),
    ("dcgan-xray", "gannet.recipes.xray:dcgan_xray"),
    ("dcgan-glasses", "gannet.recipes.glasses:dcgan_glasses"),
    ("mlp-fashion-mnist", "gannet.recipes.mlp_fashion_mnist:mlp_fashion_mnist"),
    ("mlp-mnist", "gannet.recipes.mlp_mnist:mlp_mnist"),
    ("dcgan-shapes", "gannet.recipes.shapes:dcgan_shapes"),
    ("sngan-shapes", "gannet.recipes.shapes:sngan_shapes"),
    ("sngan-shapes-ttur", "gannet.recipes.shapes:sngan_shapes_ttur"),
    ("cdcgan-shapes", "gannet.recipes.shapes:cdcgan_shapes"),
    ("lsgan", "gannet.recipes.lsgan:lsgan"),
    ("wgan", "gannet.recipes.wgan:wgan"),
    ("wgan-gp", "gannet.recipes.wgan:wgan_gp"),
    ("sngan-cifar10", "gannet.recipes.sngan:sngan_cifar10"),
    ("sagan", "gannet.recipes.sngan:sagan"),
    ("cgan-mnist", "gannet.recipes.cgan:cgan_mnist"),
    ("acgan", "gannet.recipes.acgan:acgan"),
    ("infogan-mnist", "gannet.recipes.infogan:infogan_mnist"),
    ("fastgan-fewshot", "gannet.recipes.fastgan:fastgan_fewshot"),
    ("biggan-cifar10", "gannet.recipes.sngan:biggan_cifar10"),
    ("pix2pix", "gannet.recipes.translation:pix2pix"),
    ("pix2pix-small", "gannet.recipes.translation:pix2pix_small"),
    ("cyclegan", "gannet.recipes.translation:cyclegan"),
    ("cyclegan-small", "gannet.recipes.translation:cyclegan_small"),
    ("srgan", "gannet.recipes.translation:srgan"),
    ("esrgan", "gannet.recipes.translation:esrgan"),
    ("srgan-small", "gannet.recipes.translation:srgan_small"),
    ("dvdgan", "gannet.recipes.dvdgan:dvdgan"),
    ("dvdgan-fp", "gannet.recipes.dvdgan:dvdgan_fp"),
    ("dvdgan-small", "gannet.recipes.dvdgan:dvdgan_small"),
    ("stylegan2-ada", "gannet.recipes.stylegan2:stylegan2_ada"),
    ("r3gan-cifar10", "gannet.recipes.r3gan:r3gan_cifar10"),
    ("r3gan-ffhq64", "gannet.recipes.r3gan:r3gan_ffhq64"),
    ("r3gan-imagenet64", "gannet.recipes.r3gan:r3gan_imagenet64"),
)


def recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises `UserError` for an unknown one, with the nearest."""
    return RECIPES.find(name)()
