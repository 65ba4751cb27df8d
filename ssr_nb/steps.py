"One optimizer step, plain or replayed as a CUDA graph."
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .distributed import average_gradients

Inputs = Tensor | None


def index_on_device(
    images: Tensor,   # (n, ...) on any device
    *numbers: Tensor, # of the host, indices of its first axes
) -> Tensor:
    "Index without waiting for the device."
    return images[tuple(i.to(images.device, non_blocking=True)
                        for i in numbers)]


def move_network(
    network: nn.Module,
    device: str,
):
    "To a device, in the memory format that convolutions like best."
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def autocast_context(
    device: str,
    precision: str,   # float32 or bfloat16
):                    # context in which networks compute
    "bfloat16 arithmetic in the networks, where the configuration asks for it."
    return torch.autocast(torch.device(device).type, torch.bfloat16,
                          enabled=precision == 'bfloat16')


def optimizer_step(
    network: nn.Module,
    adam: torch.optim.Adam,
    compute: Callable[..., tuple[Tensor, ...]],   # inputs -> loss (), …
    *inputs: Inputs,
) -> tuple[Tensor, ...]:    # what compute gave, without its history
    "One step of Adam, averaged over the processes."
    loss, *others = compute(*inputs)
    adam.zero_grad()
    loss.backward()
    average_gradients(network)
    adam.step()
    return loss.detach(), *others


class CudaGraphStep:
    "A step as one CUDA graph: recorded after three calls, then replayed."
    def __init__(self, step: Callable[..., tuple[Tensor, ...]]):
        self.step, self.calls = step, 0

    def __call__(self, *inputs: Inputs) -> tuple[Tensor, ...]:
        self.calls += 1
        if self.calls <= 3: return self.warm(inputs)
        if self.calls == 4: self.record(inputs)
        for mine, new in zip(self.inputs, inputs):
            if mine is not None and new is not None: mine.copy_(new)
        self.graph.replay()
        return tuple(output.clone() for output in self.outputs)

    def warm(self, inputs):   # whatever is compiled or allocated once is now
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side): outputs = self.step(*inputs)
        here.wait_stream(side)
        return outputs

    def record(self, inputs):   # nothing is computed here
        self.inputs = [x if x is None else x.clone() for x in inputs]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = self.step(*self.inputs)


class Stepper:
    "An optimizer's steps, plain or as graphs; a graph for each set of constants."
    def __init__(self, network: nn.Module, lr: float, graph: bool = False):
        self.network, self.graph = network, graph
        self.adam = torch.optim.Adam(network.parameters(), lr, fused=True,
                                     capturable=graph)
        self.replays: dict[object, CudaGraphStep] = {}

    def __call__(
        self,
        key,       # of a graph; None: sizes change, so no graph
        compute: Callable[..., tuple[Tensor, ...]],
        *inputs: Inputs,
    ) -> tuple[Tensor, ...]:
        def step(*inputs): return optimizer_step(self.network, self.adam,
                                                 compute, *inputs)
        if key is None or not self.graph: return step(*inputs)
        return self.replays.setdefault(key, CudaGraphStep(step))(*inputs)
