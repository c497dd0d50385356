"""A siamese network on pairs and triplets of pictures: shared convolutions, contrastive and triplet losses, a checkpoint."""

import os
import sys
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(1)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")


class TripletDataset(Dataset):
    """An anchor, another picture of its class, and one of a different class."""

    def __init__(self, count, seed):
        rng = np.random.default_rng(seed)
        self.means = rng.standard_normal((4, 1, 12, 12))
        self.pictures = []
        for index in range(count):
            label, other = index % 4, (index + 1 + index // 4 % 3) % 4
            chosen = self.means[[label, label, other]] + 0.5 * rng.standard_normal((3, 1, 12, 12))
            self.pictures.append(chosen.astype(np.float32))

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        anchor, positive, negative = self.pictures[index]
        return torch.from_numpy(anchor), torch.from_numpy(positive), torch.from_numpy(negative)


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 4, kernel_size=3),
            nn.PReLU(),
            nn.MaxPool2d(2, stride=2),
            nn.Conv2d(4, 8, kernel_size=3, padding=1),
            nn.PReLU(),
            nn.AvgPool2d(2),
        )
        self.fc = nn.Sequential(nn.Linear(8 * 3 * 3, 32), nn.Tanh(), nn.Linear(32, 8, bias=False))

    def forward_once(self, x):
        output = self.cnn(x)
        return self.fc(output.view(output.size()[0], -1))

    def forward(self, *inputs):
        return tuple(self.forward_once(x) for x in inputs)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        distance = F.pairwise_distance(output1, output2, keepdim=True)
        same = (1 - label) * torch.pow(distance, 2)
        other = label * torch.pow(torch.clamp(self.margin - distance, min=0.0), 2)
        return torch.mean(same + other)


train_loader = DataLoader(TripletDataset(12, seed=9), batch_size=4, shuffle=False)
net = SiameseNetwork().to(device)
contrastive, triplet = ContrastiveLoss(), nn.TripletMarginLoss(margin=1.0, p=2)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-6)
scheduler = ExponentialLR(optimizer, gamma=0.9)


def train_step(anchor, positive, negative):
    optimizer.zero_grad()
    a, p, n = net(anchor, positive, negative)
    same, other = torch.zeros(len(a), 1, device=a.device), torch.ones(len(a), 1, device=a.device)
    loss = contrastive(a, p, same) + contrastive(a, n, other) + triplet(a, p, n)
    loss.backward()
    optimizer.step()
    return loss


def train(steps):
    losses = []
    net.train()
    while len(losses) < steps:
        for batch in train_loader:
            losses.append(train_step(*[part.to(device) for part in batch]).item())
            if len(losses) == steps:
                break
        scheduler.step()
    return losses


def evaluate():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint.pt")
        torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, path)
        checkpoint = torch.load(path, map_location=device)
    other = SiameseNetwork().to(device)
    other.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    other.eval()
    with torch.no_grad():
        anchor, positive, negative = next(iter(train_loader))
        a, p, n = other(anchor.to(device), positive.to(device), negative.to(device))
        similarity = F.cosine_similarity(a, p) - F.cosine_similarity(a, n)
        return similarity.mean().item() + checkpoint["epoch"]


if __name__ == "__main__":
    print(train(10), evaluate())
