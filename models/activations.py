"""The activations that a model yaml or a flag may name. Known without PyTorch, so that a wrong flag is told at once."""

from models.errors import SpecError, shown

ACTIVATION_NAMES = (
    "nn.SiLU",
    "nn.ReLU",
    "nn.ReLU6",
    "nn.LeakyReLU",
    "nn.Hardswish",
    "nn.Mish",
    "nn.GELU",
    "nn.ELU",
    "nn.Sigmoid",
    "nn.Tanh",
    "nn.Identity",
)
WORDS = {"None": None, "True": True, "False": False}  # yaml reads these spellings as text


def parse_activation(text: str, where: str = "activation") -> tuple[str, list, dict]:
    """Return (name, arguments, arguments by name) of a description such as "nn.LeakyReLU(0.1)".

    Raises SpecError that begins with `where` if the name is unknown or an argument is no number, True or False.
    """
    name, _, rest = str(text).partition("(")
    if name not in ACTIVATION_NAMES:
        raise SpecError(f"{where}: unknown {shown(text)}; known are {', '.join(ACTIVATION_NAMES)}")
    args, kwargs = [], {}
    for word in filter(None, (w.strip() for w in rest.rstrip(") ").split(","))):
        key, equals, spelt = word.rpartition("=")
        try:
            value = WORDS[spelt] if spelt in WORDS else float(spelt)
        except ValueError:
            raise SpecError(f"{where}: {text!r}: argument {word!r} must be a number, True or False") from None
        if equals:
            kwargs[key.strip()] = value
        else:
            args.append(value)
    return name, args, kwargs
