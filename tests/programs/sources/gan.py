"""A DCGAN on pictures of 16 by 16: transposed convolutions, two optimizers, batch norm, a loss on logits."""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
import torch.utils.data

torch.manual_seed(999)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
nz, ngf, ndf, nc, batch_size = 16, 8, 8, 1, 8


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 4, 1, 0, bias=False),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


rng = np.random.default_rng(6)
pictures = np.tanh(rng.standard_normal((32, nc, 16, 16))).astype(np.float32)
dataset = torch.utils.data.TensorDataset(torch.tensor(pictures))
dataloader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, shuffle=False)

netG = Generator().to(device)
netG.apply(weights_init)
netD = Discriminator().to(device)
netD.apply(weights_init)
criterion = nn.BCEWithLogitsLoss()
fixed_noise = torch.from_numpy(rng.standard_normal((4, nz, 1, 1)).astype(np.float32)).to(device)
optimizerD = optim.Adam(netD.parameters(), lr=0.0002, betas=(0.5, 0.999), eps=1e-6)
optimizerG = optim.Adam(netG.parameters(), lr=0.0002, betas=(0.5, 0.999), eps=1e-6)


def train_step(real, noise):
    # maximize log(D(x)) + log(1 - D(G(z)))
    netD.zero_grad()
    label = torch.full((real.size(0),), 1.0, dtype=torch.float, device=real.device)
    errD_real = criterion(netD(real), label)
    errD_real.backward()
    fake = netG(noise)
    label.fill_(0.0)
    errD_fake = criterion(netD(fake.detach()), label)
    errD_fake.backward()
    optimizerD.step()
    # maximize log(D(G(z)))
    netG.zero_grad()
    label.fill_(1.0)
    errG = criterion(netD(fake), label)
    errG.backward()
    optimizerG.step()
    return errD_real + errD_fake + errG


def train(steps):
    losses, noises = [], np.random.default_rng(7)
    while len(losses) < steps:
        for _, data in enumerate(dataloader, 0):
            noise = torch.from_numpy(noises.standard_normal((data[0].size(0), nz, 1, 1)).astype(np.float32))
            losses.append(train_step(data[0].to(device), noise.to(device)).item())
            if len(losses) == steps:
                break
    return losses


def evaluate():
    netG.eval()
    with torch.no_grad():
        fake = netG(fixed_noise).detach().cpu()
    return float(fake.abs().mean())


if __name__ == "__main__":
    print(train(10), evaluate())
