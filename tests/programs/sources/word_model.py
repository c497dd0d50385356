"""A word language model: LSTM with tied weights, truncated back-propagation and gradient clipping."""

import io
import sys

import numpy as np
import torch
import torch.nn as nn

torch.manual_seed(1111)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
ntokens, emsize, nlayers, bptt, batch_size, clip, lr = 60, 32, 2, 12, 4, 0.25, 5.0


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers, dropout=0.5, tie_weights=False):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        if tie_weights:
            if nhid != ninp:
                raise ValueError("When using the tied flag, nhid must be equal to emsize")
            self.decoder.weight = self.encoder.weight
        self.init_weights()
        self.ntoken, self.nhid, self.nlayers = ntoken, nhid, nlayers

    def init_weights(self):
        initrange = 0.1
        nn.init.uniform_(self.encoder.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -initrange, initrange)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output))
        return nn.functional.log_softmax(decoded.view(-1, self.ntoken), dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return weight.new_zeros(self.nlayers, bsz, self.nhid), weight.new_zeros(self.nlayers, bsz, self.nhid)


def batchify(data, bsz):
    nbatch = data.size(0) // bsz
    data = data.narrow(0, 0, nbatch * bsz)
    return data.view(bsz, -1).t().contiguous().to(device)


def repackage_hidden(h):
    if isinstance(h, torch.Tensor):
        return h.detach()
    return tuple(repackage_hidden(v) for v in h)


def get_batch(source, i):
    seq_len = min(bptt, len(source) - 1 - i)
    return source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)


words = np.random.default_rng(1).integers(0, ntokens, 1000)
corpus = batchify(torch.tensor(words, dtype=torch.long), batch_size)
model = RNNModel(ntokens, emsize, emsize, nlayers, dropout=0.0, tie_weights=True).to(device)
criterion = nn.NLLLoss()


def train_step(data, targets, hidden):
    model.zero_grad()
    output, hidden = model(data, hidden)
    loss = criterion(output, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(p.grad, alpha=-lr)
    return loss, hidden


def train(steps):
    model.train()
    losses, hidden = [], model.init_hidden(batch_size)
    for i in range(0, steps * bptt, bptt):
        data, targets = get_batch(corpus, i)
        hidden = repackage_hidden(hidden)
        loss, hidden = train_step(data, targets, hidden)
        losses.append(loss.item())
    return losses


def evaluate():
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    model.load_state_dict(torch.load(buffer, map_location=device, weights_only=True))
    model.eval()
    total, hidden = 0.0, model.init_hidden(batch_size)
    with torch.no_grad():
        for i in range(0, 3 * bptt, bptt):
            data, targets = get_batch(corpus, i)
            output, hidden = model(data, hidden)
            total += len(data) * criterion(output, targets).item()
    return total / (3 * bptt)


if __name__ == "__main__":
    print(train(10), evaluate())
