"""Graph attention on a random graph: a softmax over the edges of each node by scatter and index_add, masks of nodes."""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(72)
device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")


class GATLayer(nn.Module):
    def __init__(self, num_in, num_out, heads, concat=True, dropout=0.6):
        super().__init__()
        self.heads, self.num_out, self.concat = heads, num_out, concat
        self.linear_proj = nn.Linear(num_in, heads * num_out, bias=False)
        self.scoring_src = nn.Parameter(torch.Tensor(1, heads, num_out))
        self.scoring_trg = nn.Parameter(torch.Tensor(1, heads, num_out))
        self.bias = nn.Parameter(torch.zeros(heads * num_out if concat else num_out))
        self.leaky_relu, self.dropout = nn.LeakyReLU(0.2), nn.Dropout(p=dropout)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_uniform_(self.linear_proj.weight)
        nn.init.xavier_uniform_(self.scoring_src)
        nn.init.xavier_uniform_(self.scoring_trg)

    def forward(self, data):
        features, edge_index = data
        num_nodes = features.shape[0]
        proj = self.linear_proj(self.dropout(features)).view(-1, self.heads, self.num_out)
        src, trg = edge_index[0], edge_index[1]
        scores_src = (proj * self.scoring_src).sum(dim=-1).index_select(0, src)
        scores_trg = (proj * self.scoring_trg).sum(dim=-1).index_select(0, trg)
        scores = self.leaky_relu(scores_src + scores_trg)
        attention = self.dropout(self.edge_softmax(scores, trg, num_nodes))
        weighted = proj.index_select(0, src) * attention.unsqueeze(-1)
        out = torch.zeros(num_nodes, self.heads, self.num_out, dtype=features.dtype, device=features.device)
        out = out.index_add(0, trg, weighted)
        out = out.view(-1, self.heads * self.num_out) if self.concat else out.mean(dim=1)
        return out + self.bias, edge_index

    def edge_softmax(self, scores, trg, num_nodes):
        exp_scores = (scores - scores.max()).exp()
        index = trg.unsqueeze(-1).expand_as(exp_scores)
        sums = torch.zeros(num_nodes, self.heads, dtype=scores.dtype, device=scores.device)
        sums = sums.scatter_add(0, index, exp_scores)
        return exp_scores / (sums.index_select(0, trg) + 1e-16)


class GAT(nn.Module):
    def __init__(self, num_in, hidden, classes, heads=4):
        super().__init__()
        self.layer1 = GATLayer(num_in, hidden, heads, dropout=0.0)
        self.layer2 = GATLayer(hidden * heads, classes, 1, concat=False, dropout=0.0)

    def forward(self, data):
        features, edge_index = self.layer1(data)
        return self.layer2((F.elu(features), edge_index))[0]


rng = np.random.default_rng(8)
nodes, classes = 60, 5
labels_np = rng.integers(0, classes, nodes)
features_np = (
    np.eye(classes)[labels_np] @ rng.standard_normal((classes, 12)) + rng.standard_normal((nodes, 12)) * 0.5
)
edges_np = np.concatenate([rng.integers(0, nodes, (2, 240)), np.tile(np.arange(nodes), (2, 1))], axis=1)
features = torch.from_numpy(features_np.astype(np.float32)).to(device)
edge_index = torch.from_numpy(edges_np).to(device)
labels = torch.tensor(labels_np, device=device)
train_idx, test_idx = torch.arange(0, 40, device=device), torch.arange(40, 60, device=device)

model = GAT(12, 8, classes).to(device)
loss_fn = nn.CrossEntropyLoss(reduction="mean")
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5)


def train_step(features, edge_index, targets):
    out = model((features, edge_index)).index_select(0, train_idx)
    loss = loss_fn(out, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def train(steps):
    model.train()
    losses, targets = [], labels.index_select(0, train_idx)
    for _ in range(steps):
        losses.append(train_step(features, edge_index, targets).item())
        scheduler.step()
    return losses


def evaluate():
    model.eval()
    with torch.no_grad():
        out = model((features, edge_index))[test_idx]
        predicted = torch.argmax(out, dim=-1)
        accuracy = torch.sum(torch.eq(predicted, labels[test_idx]).long()).item() / len(test_idx)
        return accuracy + loss_fn(out, labels[test_idx]).item()


if __name__ == "__main__":
    print(train(10), evaluate())
