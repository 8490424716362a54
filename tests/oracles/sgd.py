"""One linear head by plain SGD, the way anyone would write it: the oracle of taskrel.heads."""

import torch


def plain_sgd(x, y, classes, rate, batches, *, bias=True, momentum=0.9, milestones=()):
    """(weight [C, d], bias [C]) of nn.Linear after torch.optim.SGD from zero on the batches."""
    model = torch.nn.Linear(x.shape[1], classes, bias=bias, dtype=x.dtype)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(milestones), gamma=0.1)
    for batch in batches:
        index = torch.as_tensor(batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[index]), y[index]).backward()
        optimizer.step()
        schedule.step()
    offset = model.bias if bias else torch.zeros(classes, dtype=x.dtype)
    return model.weight.detach(), offset.detach()
