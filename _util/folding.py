"""Fold batch normalisation into the convolutions before it, for inference."""

import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fuse, in place, each convolution with the batch norm that is its next sibling.

    The network must be in evaluation mode, with modules registered in the order in which they are applied, as in this
    project and in torchvision's ResNets. Returns the network; its state dict has changed.
    """
    for module in list(network.modules()):
        for (name, layer), (next_name, next_layer) in itertools.pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(next_layer, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(layer, next_layer))
                setattr(module, next_name, nn.Identity())
    return network
