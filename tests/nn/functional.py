"""A layer as a function of its inputs and its parameters, for gradcheck."""

import numpy as np


def as_function(layer, call):
    """Return (f, arrays): f(*parameters, *inputs) runs call(layer, *inputs) with those parameters.

    The layer's own parameters are replaced by the Tensors that gradcheck passes in, each under
    every name that it has.
    """
    names = dict(layer.named_parameters())
    places = [
        [
            (module, key)
            for _, module in layer.named_modules()
            for key, value in vars(module).items()
            if value is parameter
        ]
        for parameter in names.values()
    ]

    def f(*arguments):
        for where, value in zip(places, arguments, strict=False):
            for module, key in where:
                setattr(module, key, value)
        return call(layer, *arguments[len(places) :])

    return f, [np.array(x.data) for x in names.values()]
