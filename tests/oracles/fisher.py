"""Fisher information by its definition: one example, one class, one backward pass at a time."""

import torch


def exact_fisher(module, inputs, names):
    """name -> mean over examples of sum_c p_c (d log p_c / dw)^2, in the shape of the weight."""
    weights = dict(module.named_parameters())
    total = {name: torch.zeros_like(weights[name]) for name in names}
    for example in inputs:
        chances = module(example[None])[0].softmax(0).detach()
        for c, chance in enumerate(chances):
            log_p = module(example[None])[0].log_softmax(0)[c]
            for name, slope in zip(names, torch.autograd.grad(log_p, [weights[n] for n in names]), strict=True):
                total[name] += chance * slope**2 / len(inputs)
    return total


def logistic_fisher(features, chances):
    """[C, d] closed form for logits W x: E p_c (1 - p_c) x_j^2."""
    return torch.einsum("nc,nj->cj", chances * (1 - chances), features**2) / len(features)
