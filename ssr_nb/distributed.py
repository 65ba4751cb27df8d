"Several processes that share a step; with one process all of it does nothing."
import os
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ['join_processes', 'process_rank']


def join_processes(
    device: str,   # cpu or cuda
) -> str:          # the device of this process
    "Take part in a group that torchrun has started, if there is one."
    if int(os.environ.get('WORLD_SIZE', 1)) < 2: return device
    store, rank, count = next(dist.rendezvous('env://'))
    if os.environ.get('LOCAL_WORLD_SIZE') == str(count):   # one machine
        # torchrun's store outlives a restart: addresses of dead processes
        attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
        store = dist.PrefixStore(f'attempt {attempt}', store)
    dist.init_process_group('nccl' if device == 'cuda' else 'gloo', store=store,
                            rank=rank, world_size=count)
    rank = int(os.environ.get('LOCAL_RANK', 0))
    return f'cuda:{rank}' if device == 'cuda' else device


def process_rank() -> tuple[int, int]:  # this process, number of processes
    "Position among the processes that torchrun has started."
    if not dist.is_initialized(): return 0, 1
    return dist.get_rank(), dist.get_world_size()


def average_gradients(
    network: nn.Module,
):
    "Replace each gradient by its mean over all processes."
    count = process_rank()[1]
    if count == 1: return
    for p in network.parameters():
        if p.grad is None: continue
        dist.all_reduce(p.grad)
        p.grad /= count


def mean_of_processes(
    value: Tensor,   # of this process; changed
) -> Tensor:         # the mean over all
    "What the log should say of a loss of which each process has its share."
    count = process_rank()[1]
    if count > 1: dist.all_reduce(value)
    return value/count


class MeanOverProcesses(torch.autograd.Function):
    "The mean of a tensor over all processes, and of its gradients."
    @staticmethod
    def forward(ctx, value): return mean_of_processes(value.clone())

    @staticmethod
    def backward(ctx, upstream): return mean_of_processes(upstream.clone())


class SharedBatchNorm(nn.BatchNorm2d):
    "Batch normalisation over the equal shares of all processes."
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, images: Tensor) -> Tensor:   # (B, C, H, W), both
        count = process_rank()[1]
        if not self.training or count == 1: return super().forward(images)
        mean = MeanOverProcesses.apply(images.mean((0, 2, 3)))
        centred = images - mean[:, None, None]
        variance = MeanOverProcesses.apply(
            centred.square().mean((0, 2, 3)))
        with torch.no_grad():
            n = count*images.numel()//len(mean)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance*n/(n - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = (variance + self.eps).rsqrt()*self.weight
        return centred*scale[:, None, None] + self.bias[:, None, None]


def convert_sync_batchnorm(
    network: nn.Module,
):
    "Let a network's batch normalisation see the batches of all processes."
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d: layer.__class__ = SharedBatchNorm


def shard_and_gather(
    compute: Callable[[Tensor], Tensor],   # object numbers (n,) -> rows (n, …)
    rows: Tensor,   # (N, …) zeros of the type of the rows
) -> Tensor:        # (N, …) on the CPU
    "Fill the rows of N objects, each process its share, for all of them."
    rank, count = process_rank()
    mine = torch.arange(len(rows))[rank::count]
    if len(mine): rows[mine] = compute(mine).to(rows)
    if count > 1: dist.all_reduce(rows)
    return rows.cpu()
