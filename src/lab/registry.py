"""Every experiment of this lab: its id and where its Args class lives."""

EXPERIMENTS = {
    "mnist": "lab.experiments.mnist.args:MnistArgs",
    "fashion_mnist": "lab.experiments.fashion_mnist:FashionMnistArgs",
    "digits": "lab.experiments.digits:DigitsArgs",
    "table": "lab.experiments.table:TableArgs",
    "self_training": "lab.experiments.self_training.args:SelfTrainingArgs",
    "cartpole": "lab.experiments.cartpole.args:CartpoleArgs",
    "characters": "lab.experiments.characters.args:CharactersArgs",
    "digits_gan": "lab.experiments.digits_gan.args:DigitsGanArgs",
    "denoising": "lab.experiments.denoising.args:DenoisingArgs",
    "segmentation": "lab.experiments.segmentation.args:SegmentationArgs",
    "sklearn_baselines": "lab.experiments.sklearn_baselines.args:SklearnBaselinesArgs",
    "jax_mlp": "lab.experiments.jax_mlp.args:JaxMlpArgs",
    "embed_digits": "lab.experiments.embed_digits.args:EmbedDigitsArgs",
}
